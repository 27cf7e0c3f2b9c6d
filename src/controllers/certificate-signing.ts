/**
 * Signs approved certificate requests of the built-in signers, or says why not. What the certificate is
 * for comes from the request: its subject, its names, its usages, and how long it shall be good.
 */
import {
  certificateCondition,
  clientSigner,
  kubeletClientSigner,
  kubeletServingSigner,
  pemOf,
  refusalOf,
  withCondition,
} from "./certificate-request.ts";
import { on, self, updateStatus } from "./controller.ts";
import type { CertificateSubject, Controller, Plan, View } from "./controller.ts";
import { certificateSigningRequests } from "./kubernetes.ts";

const signers = new Set<string>([clientSigner, kubeletClientSigner, kubeletServingSigner]);
/** Upstream's --cluster-signing-duration, and the shortest time that it gives. */
const maxSeconds = 365 * 24 * 3600;
const minSeconds = 600;

export const certificateSigningController: Controller = {
  name: "certificatesigningrequest-signing-controller",
  triggers: [on(certificateSigningRequests, self, (request) => request !== undefined)],
  writes: [certificateSigningRequests],
  plan: planSigning,
};

function* planSigning(view: View, key: string, nowMs: number): Plan {
  const request = view.get(certificateSigningRequests, undefined, key);
  if (request === undefined || !signers.has(request.spec.signerName)) return;
  if ((request.status.certificate ?? "") !== "" || certificateCondition(request, "Failed") !== undefined)
    return;
  const isApproved = certificateCondition(request, "Approved") !== undefined;
  if (!isApproved || certificateCondition(request, "Denied") !== undefined) return;
  const pem = pemOf(request);
  const usages = request.spec.usages ?? [];
  const subject = (yield { type: "readCertificateRequest", pem }) as CertificateSubject;
  const message = refusalOf(request.spec.signerName, subject, usages);
  if (message !== undefined) {
    const failed = { type: "Failed", reason: "SignerValidationFailure", message } as const;
    yield* updateStatus(certificateSigningRequests, withCondition(request, failed, nowMs));
    return;
  }
  const asked = request.spec.expirationSeconds ?? maxSeconds;
  const validSeconds = Math.max(minSeconds, Math.min(maxSeconds, asked));
  const certificate = btoa((yield { type: "signCertificate", pem, usages, validSeconds }) as string);
  yield* updateStatus(certificateSigningRequests, {
    ...request,
    status: { ...request.status, certificate },
  });
}
