import assert from "node:assert/strict";
import { test } from "node:test";
import { certificateApprovingController } from "./certificate-approving.ts";
import { certificateCleanerController } from "./certificate-cleaner.ts";
import { refusalOf } from "./certificate-request.ts";
import { certificateSigningController } from "./certificate-signing.ts";
import type { CertificateSubject } from "./controller.ts";
import { certificateSigningRequests } from "./kubernetes.ts";
import type { CertificateSigningRequest } from "./kubernetes.ts";
import { World } from "./transcript.test-suite.ts";

const node: CertificateSubject = {
  commonName: "system:node:n1",
  organizations: ["system:nodes"],
  dnsNames: [],
  ipAddresses: [],
  emailAddresses: [],
  uris: [],
};
const nodeUsages = ["client auth", "digital signature"];

function world(conditions: object[], spec: object = {}): World {
  const made = new World();
  made.put(certificateSigningRequests, {
    metadata: { name: "r" },
    spec: {
      request: btoa("pem"),
      signerName: "kubernetes.io/kube-apiserver-client-kubelet",
      usages: nodeUsages,
      username: "system:node:n1",
      ...spec,
    },
    status: { conditions },
  } as unknown as CertificateSigningRequest);
  made.answer = (action) =>
    action.type === "readCertificateRequest" ? node : action.type === "signCertificate" ? "signed" : [];
  return made;
}

test("signs what is approved, once", () => {
  const approved = world([{ type: "Approved", status: "True" }], { expirationSeconds: 60 });
  assert.deepEqual(approved.run(certificateSigningController, "r"), [
    "readCertificateRequest",
    "signCertificate",
    "update status of CertificateSigningRequest r",
  ]);
  assert.equal(approved.get(certificateSigningRequests, undefined, "r")!.status.certificate, btoa("signed"));
  assert.deepEqual(world([]).run(certificateSigningController, "r"), []);
  const other = world([{ type: "Approved", status: "True" }], { signerName: "kubernetes.io/legacy-unknown" });
  assert.deepEqual(other.run(certificateSigningController, "r"), []);
});

test("nobody but who may is approved by itself", () => {
  assert.deepEqual(world([]).run(certificateApprovingController, "r", 1), [
    "readCertificateRequest",
    "create SubjectAccessReview",
    "create SubjectAccessReview",
  ]);
});

test("decided requests go after an hour, others after a day", () => {
  const pending = world([]);
  assert.deepEqual(pending.run(certificateCleanerController, "r", 1), ["requeue after 86400000 ms"]);
  const at = new Date(pending.nowMs - 3600_000).toISOString();
  const denied = world([{ type: "Denied", status: "True", lastUpdateTime: at }]);
  assert.deepEqual(denied.run(certificateCleanerController, "r"), ["delete CertificateSigningRequest r"]);
});

test("what signers refuse", () => {
  const client = "kubernetes.io/kube-apiserver-client";
  const kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
  const serving = "kubernetes.io/kubelet-serving";
  const named = { ...node, dnsNames: ["n1"] };
  const cases: [string, CertificateSubject, string[], string | undefined][] = [
    [client, node, ["client auth"], undefined],
    [client, node, ["server auth"], "invalid usage for client certificate: server auth"],
    [client, node, [], "missing required usage for client certificate: client auth"],
    [kubelet, node, nodeUsages, undefined],
    [kubelet, named, nodeUsages, "DNS subjectAltNames are not allowed"],
    [
      kubelet,
      { ...node, commonName: "x" },
      nodeUsages,
      "subject common name does not begin with system:node:",
    ],
    [kubelet, node, ["client auth"], "usages did not match [client auth digital signature key encipherment]"],
    [serving, named, ["digital signature", "key encipherment", "server auth"], undefined],
    [serving, node, ["digital signature", "server auth"], "DNS or IP subjectAltName is required"],
  ];
  for (const [signer, subject, usages, why] of cases) assert.equal(refusalOf(signer, subject, usages), why);
});
