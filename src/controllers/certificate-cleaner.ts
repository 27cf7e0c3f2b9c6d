/** Certificate requests that nobody needs any more go: an hour after they were decided, a day after they were made. */
import { certificateCondition } from "./certificate-request.ts";
import { on, remove, requeueAfter, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { certificateSigningRequests } from "./kubernetes.ts";
import type { CertificateSigningRequest } from "./kubernetes.ts";

const decidedMs = 3600_000;
const pendingMs = 24 * 3600_000;

export const certificateCleanerController: Controller = {
  name: "certificatesigningrequest-cleaner-controller",
  triggers: [on(certificateSigningRequests, self, (request) => request !== undefined)],
  writes: [certificateSigningRequests],
  plan: planCleaning,
};

function* planCleaning(view: View, key: string, nowMs: number): Plan {
  const request = view.get(certificateSigningRequests, undefined, key);
  if (request === undefined || request.metadata.deletionTimestamp !== undefined) return;
  const endMs = endOf(request);
  if (endMs === undefined) return;
  if (endMs > nowMs) yield* requeueAfter(endMs - nowMs);
  else yield* remove(certificateSigningRequests, request);
}

/** When the request may go; undefined while it is approved and waits for its signer. */
function endOf(request: CertificateSigningRequest): number | undefined {
  const isIssued = (request.status.certificate ?? "") !== "";
  const decided =
    certificateCondition(request, "Denied") ??
    certificateCondition(request, "Failed") ??
    (isIssued ? certificateCondition(request, "Approved") : undefined);
  if (decided !== undefined) {
    const at =
      (decided.lastUpdateTime as unknown as string | undefined) ?? request.metadata.creationTimestamp;
    return Date.parse(at ?? "") + decidedMs;
  }
  const isPending = (request.status.conditions ?? []).length === 0;
  return isPending ? Date.parse(request.metadata.creationTimestamp ?? "") + pendingMs : undefined;
}
