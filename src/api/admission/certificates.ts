/**
 * Certificate signing requests: who may approve for a signer (CertificateApproval), who may sign as one
 * (CertificateSigning), and that nobody is made a member of system:masters by certificate
 * (CertificateSubjectRestriction).
 */
import type { HttpUser } from "#base/http.ts";
import { deepEqual } from "#kinds/equality.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Authorizer } from "../auth/authorizer.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

type SigningRequest = KubeObject & {
  spec?: { signerName?: string; request?: string };
  status?: { certificate?: string; conditions?: unknown[] };
};

const clientSigner = "kubernetes.io/kube-apiserver-client";
const masters = "system:masters";

export function certificateApproval(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "CertificateApproval",
    validate(request) {
      if (isSigningRequest(request) && request.operation === "UPDATE" && request.subresource === "approval")
        checkSigner(authorizer, request, "approve");
    },
  };
}

export function certificateSigning(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: "CertificateSigning",
    validate(request) {
      if (!isSigningRequest(request) || request.operation !== "UPDATE" || request.subresource !== "status")
        return;
      const before = (request.old as SigningRequest).status;
      const after = (request.object as SigningRequest).status;
      const isSame =
        (before?.certificate ?? "") === (after?.certificate ?? "") &&
        deepEqual(before?.conditions, after?.conditions);
      if (!isSame) checkSigner(authorizer, request, "sign");
    },
  };
}

export const certificateSubjectRestriction: AdmissionPlugin = {
  name: "CertificateSubjectRestriction",
  validate(request) {
    if (!isSigningRequest(request) || request.operation !== "CREATE" || request.subresource !== "") return;
    const { spec } = request.object as SigningRequest;
    if (spec?.signerName !== clientSigner || !organizationsOf(spec.request ?? "").includes(masters)) return;
    const why = `use of ${clientSigner} signer with ${masters} group is not allowed`;
    throw forbiddenError(request.resource.groupResource, request.name, why);
  },
};

function isSigningRequest({ resource }: AdmissionRequest): boolean {
  return (
    resource.kind.group === "certificates.k8s.io" && resource.kind.plural === "certificatesigningrequests"
  );
}

/** Either for this signer, or for all signers of its domain. */
function checkSigner(authorizer: Authorizer, request: AdmissionRequest, verb: "approve" | "sign"): void {
  const { signerName = "" } = (request.old as SigningRequest).spec ?? {};
  const [domain = ""] = signerName.split("/");
  if (mayUseSigner(authorizer, request.user, verb, signerName)) return;
  if (mayUseSigner(authorizer, request.user, verb, `${domain}/*`)) return;
  const why = `user not permitted to ${verb} requests with signerName ${JSON.stringify(signerName)}`;
  throw forbiddenError(request.resource.groupResource, request.name, why);
}

function mayUseSigner(authorizer: Authorizer, user: HttpUser, verb: string, name: string): boolean {
  return authorizer.authorize({
    user,
    verb,
    isResource: true,
    group: "certificates.k8s.io",
    version: "*",
    resource: "signers",
    subresource: "",
    namespace: "",
    name,
    path: "",
  }).allowed;
}

/** The DER of an attribute's type: organizationName (2.5.4.10). */
const organizationType = Buffer.from([0x06, 0x03, 0x55, 0x04, 0x0a]);

/** Organizations in a PKCS #10 request: each is its type followed by a string of a short length. */
function organizationsOf(encoded: string): string[] {
  const pem = Buffer.from(encoded, "base64").toString("latin1");
  const body = /-----BEGIN CERTIFICATE REQUEST-----([^-]*)-----END/.exec(pem)?.[1] ?? "";
  const der = Buffer.from(body, "base64");
  const found: string[] = [];
  for (let at = der.indexOf(organizationType); at >= 0; at = der.indexOf(organizationType, at + 1)) {
    const start = at + organizationType.length + 2;
    found.push(der.toString("utf8", start, start + (der[start - 1] ?? 0)));
  }
  return found;
}
