/**
 * Brings the Debian packages that end-to-end tests need, where they are missing and this is root; says so
 * where it can't, and then those tests say that they are skipped.
 */
import { findProgram, installPackages, missingPackages } from "#cli/system.ts";

const missing = [
  ...missingPackages(),
  ...(findProgram("kubectl") === undefined ? ["kubernetes-client"] : []),
  ...(findProgram("etcd") === undefined ? ["etcd-server"] : []),
  ...(findProgram("chromium") === undefined ? ["chromium"] : []),
];
if (missing.length === 0) console.log("all packages for the end-to-end tests are there");
else if (process.getuid?.() !== 0)
  console.log(`not root: end-to-end tests that need ${missing.join(", ")} are skipped`);
else {
  console.log(`installing ${missing.join(", ")} ...`);
  await installPackages(missing);
}
