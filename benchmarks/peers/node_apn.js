// @parse/node-apn, as its documentation uses it: one send of one notification to many tokens.
'use strict';

const apn = require('@parse/node-apn');
const { job, measure } = require('./node_measure.js');

const CHUNK = 5000; // of 8,000 and more at once it loses some: Node's http2 runs into its memory limit

const provider = new apn.Provider({
  token: { key: job.key, keyId: job.key_id, teamId: job.team_id },
  ca: job.ca,
  address: job.host,
  port: job.port,
  production: true,
  requestTimeout: 60000,
});

async function push(tokens) {
  const notification = new apn.Notification();
  notification.topic = job.topic;
  notification.rawPayload = { aps: {} }; // of an empty object it sends nothing, which APNs refuses
  notification.expiry = 1800000000;
  let delivered = 0;
  for (let start = 0; start < tokens.length; start += CHUNK) {
    const { sent } = await provider.send(notification, tokens.slice(start, start + CHUNK));
    delivered += sent.length;
  }
  return delivered;
}

measure(push);
