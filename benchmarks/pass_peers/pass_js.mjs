// @walletpass/pass-js: its template is loaded once, its key set once.
import { readFileSync } from "node:fs";
import passJs from "@walletpass/pass-js";
import { content, job, run } from "./run.mjs";

const template = await passJs.Template.load(job.folder);
template.passTypeIdentifier = job.pass_type_identifier;
template.teamIdentifier = job.team_identifier;
template.setCertificate(readFileSync(job.certificate, "utf8"));
template.setPrivateKey(readFileSync(job.private_key, "utf8"));

await run((serialNumber, gate) => {
  const pass = template.createPass({
    serialNumber,
    webServiceURL: job.web_service_url,
    authenticationToken: job.authentication_token,
    barcodes: [{ ...content.barcodes[0], message: serialNumber }],
  });
  pass.headerFields.get("gate").value = gate;
  return pass.asBuffer();
});
