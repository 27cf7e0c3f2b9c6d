import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "#kinds/schemas.ts";
import { described, descriptions } from "./descriptions.ts";

test("every description is of a definition and a field that exist, and is a sentence", () => {
  for (const [name, sentences] of Object.entries(descriptions)) {
    const fields = schemaOf(name).properties ?? {};
    for (const [field, text] of Object.entries(sentences)) {
      assert.ok(field === "" || field in fields, `${name}.${field}`);
      assert.match(text, /^.{3,}\.$/, `${name}.${field}`);
    }
  }
});

test("what people ask for most is described field by field", () => {
  const complete = [
    "apimachinery.pkg.apis.meta.v1.ObjectMeta",
    "api.core.v1.Pod",
    "api.core.v1.PodSpec",
    "api.core.v1.Container",
    "api.core.v1.Probe",
    "api.core.v1.SecurityContext",
    "api.core.v1.PodSecurityContext",
    "api.core.v1.VolumeMount",
    "api.core.v1.ServiceSpec",
    "api.core.v1.ServicePort",
    "api.core.v1.ConfigMap",
    "api.core.v1.Secret",
    "api.core.v1.PersistentVolumeClaimSpec",
    "api.apps.v1.DeploymentSpec",
    "api.apps.v1.StatefulSetSpec",
    "api.apps.v1.DaemonSetSpec",
    "api.batch.v1.JobSpec",
    "api.batch.v1.CronJobSpec",
    "api.networking.v1.IngressSpec",
    "api.networking.v1.NetworkPolicySpec",
    "api.rbac.v1.PolicyRule",
    "api.autoscaling.v2.HorizontalPodAutoscalerSpec",
    "api.policy.v1.PodDisruptionBudgetSpec",
  ];
  const silent = complete.flatMap((each) => {
    const name = `io.k8s.${each}`;
    const schema = described(name, schemaOf(name));
    return Object.entries(schema.properties ?? {})
      .filter(([, property]) => property.description === undefined)
      .map(([field]) => `${each}.${field}`);
  });
  assert.deepEqual(silent, []);
});

test("a description that a schema brings along stays", () => {
  const kind = { group: "x.io", version: "v1", kind: "Thing" };
  const schema = {
    description: "A thing.",
    "x-kubernetes-group-version-kind": [kind],
    properties: { kind: { type: "string" as const }, spec: { description: "Its own." } },
  };
  const { description, properties } = described("io.x.v1.Thing", schema);
  assert.equal(description, "A thing.");
  assert.equal(properties?.["spec"]?.description, "Its own.");
  assert.equal(properties?.["kind"]?.description, "Kind of the object.");
});
