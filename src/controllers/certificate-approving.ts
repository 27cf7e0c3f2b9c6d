/**
 * Client certificates of nodes approve themselves, where roles allow it: a request in the name of a node
 * is approved when its author may create "nodeclient" requests, or "selfnodeclient" ones for its own name.
 */
import {
  certificateCondition,
  kubeletClientSigner,
  pemOf,
  refusalOf,
  withCondition,
} from "./certificate-request.ts";
import { create, on, self } from "./controller.ts";
import type { CertificateSubject, Controller, Plan, View } from "./controller.ts";
import { certificateSigningRequests } from "./kubernetes.ts";
import type { CertificateSigningRequest, Resource } from "./kubernetes.ts";
import type { KubeObject } from "#kinds/object.ts";

const subjectAccessReviews: Resource<KubeObject & { status?: { allowed?: boolean } }> = {
  group: "authorization.k8s.io",
  version: "v1",
  plural: "subjectaccessreviews",
  kind: "SubjectAccessReview",
  namespaced: false,
};

export const certificateApprovingController: Controller = {
  name: "certificatesigningrequest-approving-controller",
  triggers: [on(certificateSigningRequests, self, (request) => request !== undefined)],
  writes: [certificateSigningRequests],
  plan: planApproval,
};

function* planApproval(view: View, key: string, nowMs: number): Plan {
  const request = view.get(certificateSigningRequests, undefined, key);
  if (request === undefined || request.spec.signerName !== kubeletClientSigner) return;
  if ((request.status.certificate ?? "") !== "") return;
  if (certificateCondition(request, "Approved") ?? certificateCondition(request, "Denied")) return;
  const subject = (yield { type: "readCertificateRequest", pem: pemOf(request) }) as CertificateSubject;
  if (refusalOf(kubeletClientSigner, subject, request.spec.usages ?? []) !== undefined) return;
  const isOwn = request.spec.username === subject.commonName;
  const allowed =
    isOwn && (yield* mayCreate(request, "selfnodeclient"))
      ? "self kubelet client certificate"
      : (yield* mayCreate(request, "nodeclient"))
        ? "kubelet client certificate"
        : undefined;
  if (allowed === undefined) return;
  const message = `Auto approving ${allowed} after SubjectAccessReview.`;
  yield {
    type: "update",
    resource: certificateSigningRequests,
    object: withCondition(request, { type: "Approved", reason: "AutoApproved", message }, nowMs),
    subresource: "approval",
  };
}

function* mayCreate(request: CertificateSigningRequest, subresource: string): Plan<boolean> {
  const { username, uid, groups, extra } = request.spec;
  const review = yield* create(subjectAccessReviews, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    metadata: {},
    spec: {
      user: username,
      uid,
      groups,
      extra,
      resourceAttributes: {
        group: "certificates.k8s.io",
        resource: "certificatesigningrequests",
        verb: "create",
        subresource,
      },
    },
  });
  return review.status?.allowed === true;
}
