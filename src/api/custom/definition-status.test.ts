import { test } from "node:test";
import assert from "node:assert/strict";
import type { CustomResourceDefinition } from "./definition.ts";
import { planCrdStatus, planDeletionStatus } from "./plan-status.ts";
import { validateDefinition, validateDefinitionUpdate } from "./validate-definition.ts";
import { customKind } from "./custom-kind.ts";

const now = "2026-01-01T00:00:00Z";

function definition(group: string, annotation?: string): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `things.${group}`,
      ...(annotation === undefined ? {} : { annotations: { "api-approved.kubernetes.io": annotation } }),
    },
    spec: {
      group,
      scope: "Cluster",
      names: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" },
      versions: [
        { name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } },
      ],
    },
  };
}

function messages(crd: CustomResourceDefinition): string[] {
  return validateDefinition(crd).map((each) => `${each.field}: ${each.message}`);
}

test("the community's groups need an approval", () => {
  const at = "metadata.annotations[api-approved.kubernetes.io]";
  const see = "see https://github.com/kubernetes/enhancements/pull/1111";
  assert.deepEqual(messages(definition("example.com")), []);
  assert.deepEqual(messages(definition("notk8s.io")), []);
  assert.deepEqual(messages(definition("gateway.networking.k8s.io")), [
    `${at}: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", ${see}`,
  ]);
  assert.deepEqual(messages(definition("x.kubernetes.io", "because")), [
    `${at}: Invalid value: "because": protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", ${see}`,
  ]);
  const approved = definition("x.k8s.io", "https://example.com/pull/1");
  assert.deepEqual(messages(approved), []);
  const condition = (crd: CustomResourceDefinition) => {
    const found = planCrdStatus(crd, [], now)?.conditions?.find(
      (each) => each.type === "KubernetesAPIApprovalPolicyConformant",
    );
    return found === undefined ? undefined : `${found.status} ${found.reason} ${found.message}`;
  };
  assert.equal(condition(approved), "True ApprovedAnnotation approved in https://example.com/pull/1");
  assert.equal(
    condition(definition("x.k8s.io", "unapproved, a test")),
    'False UnapprovedAnnotation not approved: "unapproved, a test"',
  );
  assert.equal(condition(definition("example.com")), undefined);
  const stored = { ...definition("x.k8s.io"), status: { storedVersions: ["v1"] } };
  assert.deepEqual(validateDefinitionUpdate(stored, stored), [], "what is there already stays");
});

test("a deletion in progress says so once", () => {
  const crd = definition("example.com");
  const status = planDeletionStatus(crd, now);
  assert.equal(status?.conditions?.[0]?.reason, "InstanceDeletionInProgress");
  assert.equal(planDeletionStatus({ ...crd, status }, "2027-01-01T00:00:00Z"), undefined);
});

test("a deprecated version warns, and names the newest to go to", () => {
  const crd = definition("example.com");
  const version = (name: string, deprecated: boolean) => ({
    name,
    served: true,
    storage: name === "v2",
    ...(deprecated ? { deprecated } : {}),
  });
  const old = version("v1beta1", true);
  crd.spec.versions = [old, version("v1", false), version("v2", false)];
  assert.deepEqual(customKind(crd, old).kind.deprecations, [
    "example.com/v1beta1 Thing is deprecated; use example.com/v2 Thing",
  ]);
  crd.spec.versions = [old];
  assert.deepEqual(customKind(crd, old).kind.deprecations, ["example.com/v1beta1 Thing is deprecated"]);
  assert.deepEqual(customKind(crd, { ...old, deprecationWarning: "go" }).kind.deprecations, ["go"]);
  assert.equal(customKind(crd, version("v1", false)).kind.deprecations, undefined);
});
