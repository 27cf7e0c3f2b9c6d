/** CertificateSigningRequest (certificates.k8s.io/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, objectVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.certificates.v1.CertificateSigningRequest";

export const certificateSigningRequest = defineKind({
  group: "certificates.k8s.io",
  version: "v1",
  kind: "CertificateSigningRequest",
  plural: "certificatesigningrequests",
  singular: "certificatesigningrequest",
  shortNames: ["csr"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    approval: { verbs: objectVerbs },
    status: statusSubresource(),
  },
  columns: [nameColumn, ageColumn],
});
