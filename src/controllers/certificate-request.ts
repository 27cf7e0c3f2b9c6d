/** Certificate signing requests: their state, and what each built-in signer accepts. */
import type { CertificateSubject } from "./controller.ts";
import type { CertificateSigningRequest } from "./kubernetes.ts";
import { timestamp } from "./pod.ts";

export const clientSigner = "kubernetes.io/kube-apiserver-client";
export const kubeletClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";
export const kubeletServingSigner = "kubernetes.io/kubelet-serving";

type Condition = NonNullable<CertificateSigningRequest["status"]["conditions"]>[number];

export function certificateCondition(
  request: CertificateSigningRequest,
  type: "Approved" | "Denied" | "Failed",
): Condition | undefined {
  return request.status.conditions?.find((each) => each.type === type);
}

/** The status with one condition more. */
export function withCondition(
  request: CertificateSigningRequest,
  condition: { type: "Approved" | "Failed"; reason: string; message: string },
  nowMs: number,
): CertificateSigningRequest {
  const lastUpdateTime = timestamp(nowMs) as unknown as NonNullable<Condition["lastUpdateTime"]>;
  const conditions = [
    ...(request.status.conditions ?? []),
    { ...condition, status: "True", lastUpdateTime, lastTransitionTime: lastUpdateTime },
  ];
  return { ...request, status: { ...request.status, conditions } };
}

/** PEM of the PKCS #10 request. */
export function pemOf(request: CertificateSigningRequest): string {
  return atob(request.spec.request);
}

/** Why the signer does not sign this; undefined when it does. */
export function refusalOf(
  signerName: string,
  subject: CertificateSubject,
  usages: readonly string[],
): string | undefined {
  if (signerName === clientSigner) return clientRefusal(usages);
  if (signerName === kubeletClientSigner) return kubeletClientRefusal(subject, usages);
  if (signerName === kubeletServingSigner) return kubeletServingRefusal(subject, usages);
  return `unrecognized signerName: ${JSON.stringify(signerName)}`;
}

function clientRefusal(usages: readonly string[]): string | undefined {
  const allowed = ["digital signature", "key encipherment", "client auth"];
  const strange = usages.find((each) => !allowed.includes(each));
  if (strange !== undefined) return `invalid usage for client certificate: ${strange}`;
  if (!usages.includes("client auth")) return "missing required usage for client certificate: client auth";
  return undefined;
}

function kubeletClientRefusal(subject: CertificateSubject, usages: readonly string[]): string | undefined {
  if (!isOfNodes(subject)) return "subject organization is not system:nodes";
  if (subject.dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (subject.emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  if (subject.ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  if (subject.uris.length > 0) return "URI subjectAltNames are not allowed";
  return nameRefusal(subject) ?? usageRefusal(usages, "client auth");
}

function kubeletServingRefusal(subject: CertificateSubject, usages: readonly string[]): string | undefined {
  if (!isOfNodes(subject)) return "subject organization is not system:nodes";
  if (subject.dnsNames.length === 0 && subject.ipAddresses.length === 0)
    return "DNS or IP subjectAltName is required";
  if (subject.emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  if (subject.uris.length > 0) return "URI subjectAltNames are not allowed";
  return usageRefusal(usages, "server auth") ?? nameRefusal(subject);
}

function isOfNodes({ organizations }: CertificateSubject): boolean {
  return organizations.length === 1 && organizations[0] === "system:nodes";
}

function nameRefusal({ commonName }: CertificateSubject): string | undefined {
  return commonName.startsWith("system:node:")
    ? undefined
    : "subject common name does not begin with system:node:";
}

/** Exactly these usages; key encipherment is only of use to RSA keys. */
function usageRefusal(usages: readonly string[], purpose: "client auth" | "server auth"): string | undefined {
  const wanted = ["digital signature", "key encipherment", purpose].sort();
  const given = [...new Set([...usages, "key encipherment"])].sort();
  const isSame = given.length === wanted.length && given.every((each, index) => each === wanted[index]);
  return isSame ? undefined : `usages did not match [${wanted.join(" ")}]`;
}
