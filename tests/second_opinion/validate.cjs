// Holds a produced pass.json to passkit-generator's own schemas: prints what they refuse, one line each.
const fs = require("node:fs");
const path = require("node:path");
const [library, file] = process.argv.slice(2);
const load = (name) => require(path.join(library, "lib", "cjs", "schemas", name));
const { PassProps, PassType } = load("index.js");
const { PassFields } = load("PassFields.js");

const styles = ["boardingPass", "coupon", "eventTicket", "generic", "storeCard", "posterGeneric"];
const pass = JSON.parse(fs.readFileSync(file));
const style = styles.find((name) => name in pass);
const { [style]: fields, ...props } = pass;
for (const [schema, value, where] of [[PassProps, props, "pass"], [PassType, style, "style"], [PassFields, fields, style]]) {
  const { error } = schema.validate(value, { abortEarly: false });
  for (const detail of error ? error.details : []) console.log(`${where}: ${detail.message}`);
}
