// passkit-generator, given buffers that were read once.
import { readFileSync } from "node:fs";
import { PKPass } from "passkit-generator";
import { content, images, job, run } from "./run.mjs";

const certificates = {
  wwdr: readFileSync(job.intermediate),
  signerCert: readFileSync(job.certificate),
  signerKey: readFileSync(job.private_key),
};

await run((serialNumber, gate) => {
  const style = { ...content.boardingPass, headerFields: [{ ...content.boardingPass.headerFields[0], value: gate }] };
  const model = { ...images, "pass.json": Buffer.from(JSON.stringify({ ...content, boardingPass: style })) };
  const pass = new PKPass(model, certificates, {
    serialNumber,
    passTypeIdentifier: job.pass_type_identifier,
    teamIdentifier: job.team_identifier,
    webServiceURL: job.web_service_url,
    authenticationToken: job.authentication_token,
  });
  pass.setBarcodes({ ...content.barcodes[0], message: serialNumber });
  return pass.getAsBuffer();
});
