// Node's own http2 module, with no library between.
'use strict';

const fs = require('fs');
const http2 = require('http2');
const { job, measure } = require('./node_measure.js');

const session = http2.connect(job.url, { ca: fs.readFileSync(job.ca) });

function push(tokens) {
  return new Promise((resolve, reject) => {
    let next = 0;
    let open = 0;
    let delivered = 0;
    const start = () => {
      while (next < tokens.length && open < job.streams) {
        open += 1;
        const request = session.request({
          ':method': 'POST',
          ':path': `/3/device/${tokens[next++]}`,
          'apns-topic': job.topic,
          'apns-expiration': '1800000000',
          authorization: job.authorization,
        });
        request.on('response', (headers) => {
          if (headers[':status'] === 200) delivered += 1;
        });
        request.on('error', reject);
        request.on('close', () => {
          open -= 1;
          if (next < tokens.length) start();
          else if (open === 0) resolve(delivered);
        });
        request.resume();
        request.end('{}');
      }
    };
    start();
  });
}

measure(push);
