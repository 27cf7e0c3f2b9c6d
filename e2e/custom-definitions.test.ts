/** The life of large definitions and of their objects, as kubectl sees it: an API server alone on loopback. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { KubeObject } from "#kinds/object.ts";
import { convertedDefinition, startConversionServer } from "#api/custom/conversion-server.test-suite.ts";
import { startApiOnly } from "../scripts/serve-api.ts";
import type { ApiOnly } from "../scripts/serve-api.ts";
import { hasKubectl } from "./harness.ts";
import { certificateDefinition, certificateSpecWith, group, largeDefinitions } from "./large-definitions.ts";

const skip = hasKubectl ? false : "kubectl is not installed";
const directory = mkdtempSync(join(tmpdir(), "trivet-definitions-"));
let server: ApiOnly;

interface Run {
  code: number;
  out: string;
  err: string;
}

function kubectl(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    const env = { ...process.env, KUBECONFIG: server.kubeconfigPath, HOME: directory };
    execFile("kubectl", args, { env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
    });
  });
}

async function succeeds(...args: string[]): Promise<string> {
  const run = await kubectl(...args);
  assert.equal(run.code, 0, `kubectl ${args.join(" ")}: ${run.err}`);
  return run.out;
}

function file(name: string, content: unknown): string {
  const path = join(directory, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < end, "the condition became true in time");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const web: KubeObject = {
  apiVersion: `${group}/v1`,
  kind: "Certificate",
  metadata: { name: "web" },
  spec: {
    secretName: "web-tls",
    dnsNames: ["a.example.com", "b.example.com"],
    duration: "2160h",
    renewBefore: "360h",
    revisionHistoryLimit: null,
    issuerRef: { name: "ca" },
    keystores: { jks: { create: true } },
    template: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x" }, data: { k: "v" } },
  },
};

function patch(change: unknown, ...more: string[]): Promise<Run> {
  return kubectl("patch", "cert", "web", "--type=merge", "-p", JSON.stringify(change), ...more);
}

/** What kubectl says of a change that is refused, without the note on rules that were not reached. */
async function refusal(spec: Record<string, unknown>): Promise<string> {
  const run = await patch({ spec });
  assert.notEqual(run.code, 0, JSON.stringify(spec));
  return run.err
    .replace(/\n\* <nil>: Invalid value: "null": some validation rules were not checked[^\n]*/, "")
    .replace(/^The Certificate "web" is invalid: (\n\* )?/, "")
    .trim();
}

if (skip === false) {
  before(async () => {
    server = await startApiOnly({ directory, port: 0, serviceCidr: "10.96.0.0/16" });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  });
}

test("definitions of more than a MiB are applied and served", { skip }, async () => {
  const definitions = largeDefinitions();
  assert.ok(JSON.stringify(definitions).length > 1024 * 1024);
  const list = file("definitions.json", { apiVersion: "v1", kind: "List", items: definitions });
  const applied = await succeeds("apply", "--server-side", "-f", list);
  assert.equal(applied.match(/serverside-applied/g)?.length, 3);
  await succeeds("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s");
  assert.equal(
    (await succeeds("apply", "--server-side", "-f", list)).match(/serverside-applied/g)?.length,
    3,
  );
  const resources = await succeeds("api-resources", "--api-group", group, "--no-headers");
  assert.match(resources, /certificates +cert +certs\.example\.com\/v1 +true +Certificate/);
  assert.match(resources, /clusterissuers +certs\.example\.com\/v1 +false +ClusterIssuer/);
  const explained = await succeeds(
    "explain",
    "issuers.spec.acme.solvers.http01.ingress.podTemplate.spec.containers",
    "--recursive",
  );
  assert.match(explained, /containers is the podTemplate of the spec of the containers/);
  assert.match(explained, /livenessProbe\t<Object>/);
});

test("an object gets defaults, columns and field selectors", { skip }, async () => {
  await succeeds("apply", "-f", file("web.json", web));
  const stored = JSON.parse(await succeeds("get", "cert", "web", "-o", "json")) as KubeObject;
  const spec = stored["spec"] as Record<string, unknown>;
  assert.deepEqual(spec["issuerRef"], { group, kind: "Issuer", name: "ca" });
  assert.deepEqual(spec["privateKey"], { algorithm: "RSA", size: 2048 });
  assert.equal(spec["port"], 443);
  assert.deepEqual(spec["keystores"], { jks: { create: true } });
  assert.match(await succeeds("get", "certs"), /NAME +READY +SECRET +REPLICAS +AGE\n/);
  assert.match(
    await succeeds("get", "cert", "-o", "wide"),
    /ISSUER +REPLICAS +AGE\nweb +web-tls +ca +1 +\d+s/,
  );
  const selected = (name: string) =>
    succeeds("get", "cert", "--no-headers", "--field-selector", `spec.issuerRef.name=${name}`);
  assert.match(await selected("ca"), /^web /);
  assert.equal(await selected("other"), "");
  const created = { ...web, metadata: { name: "null" } };
  await succeeds("create", "-f", file("null.json", created));
  const limit = await succeeds("get", "cert", "null", "-o", "jsonpath={.spec.revisionHistoryLimit}");
  assert.equal(limit, "null", "a null that may be is no reason for a default");
  await succeeds("delete", "cert", "null");
  const old = await kubectl("get", `certificates.v1alpha2.${group}`);
  assert.match(old.err, /Warning: certs\.example\.com\/v1alpha2 Certificate is deprecated; use /);
});

test("what a schema and its rules refuse", { skip }, async () => {
  assert.equal(
    await refusal({ secretName: "other" }),
    'spec.secretName: Invalid value: "string": secretName is immutable',
  );
  assert.equal(await refusal({ dnsNames: ["a", "a"] }), 'spec.dnsNames[1]: Duplicate value: "a"');
  assert.equal(
    await refusal({ renewBefore: "9000h" }),
    "spec.renewBefore: Forbidden: must be renewed before it ends",
  );
  assert.equal(
    await refusal({ dnsNames: ["*.*.x"] }),
    'spec: Invalid value: "object": a wildcard stands alone in web-tls',
  );
  assert.equal(
    await refusal({ privateKey: { algorithm: "Ed25519" }, usages: ["signing"] }),
    'spec: Invalid value: "object": Ed25519 does not sign',
  );
  assert.equal(
    await refusal({ issuerRef: { name: "x", kind: "Nope" } }),
    'spec.issuerRef.kind: Unsupported value: "Nope": supported values: "Issuer", "ClusterIssuer"',
  );
  assert.equal(
    await refusal({ template: { kind: "" } }),
    "spec.template.kind: Required value: must not be empty",
  );
  assert.match(
    await refusal({ port: true }),
    /^spec\.port: Invalid value: "boolean": spec\.port in body must be of type integer,string: "boolean"/,
  );
  assert.match((await patch({ spec: { foo: 1 } })).err, /Warning: unknown field "spec\.foo"/);
});

test("status, scale and generation", { skip }, async () => {
  const read = (path: string) => succeeds("get", "cert", "web", "-o", `jsonpath=${path}`);
  await succeeds("scale", "cert", "web", "--replicas=4");
  assert.equal(await read("{.spec.replicas} {.metadata.generation}"), "4 2");
  const ready = { type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" };
  const status = { replicas: 2, selector: "app=web", conditions: [ready] };
  const change = { status, spec: { replicas: 9 } };
  assert.equal((await patch(change, "--subresource=status")).code, 0);
  assert.equal(await read("{.spec.replicas} {.metadata.generation} {.status.replicas}"), "4 2 2");
  assert.equal((await patch({ status: { replicas: 7 } })).code, 0);
  assert.equal(await read("{.status.replicas}"), "2", "the status is the subresource's");
  const scale = JSON.parse(
    await succeeds("get", "--raw", `/apis/${group}/v1/namespaces/default/certificates/web/scale`),
  ) as KubeObject;
  assert.deepEqual(scale["status"], { replicas: 2, selector: "app=web" });
  await succeeds("wait", "--for=condition=Ready", "cert/web", "--timeout=5s");
});

test("a watch follows, and a definition that changes takes its objects along", { skip }, async () => {
  const env = { ...process.env, KUBECONFIG: server.kubeconfigPath, HOME: directory };
  const watch = spawn("kubectl", ["get", "cert", "--watch", "-o", "name"], { env });
  let seen = "";
  watch.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString("utf8")));
  await until(() => Promise.resolve(seen.length > 0));
  assert.equal((await patch({ spec: { replicas: 5 } })).code, 0);
  await until(() => Promise.resolve(seen.split("\n").length > 2));
  watch.kill();
  const changed = certificateSpecWith({
    secretName: { type: "string", pattern: "^[0-9]+$" },
    dnsNames: { type: "array", maxItems: 1, items: { type: "string", pattern: "^b" } },
    tier: { type: "string", default: "gold" },
  });
  delete changed.properties?.["keystores"];
  await succeeds(
    "apply",
    "--server-side",
    "--force-conflicts",
    "-f",
    file("changed.json", certificateDefinition(changed)),
  );
  await until(async () => (await succeeds("get", "cert", "web", "-o", "jsonpath={.spec.tier}")) === "gold");
  assert.equal(
    await succeeds("get", "cert", "web", "-o", "jsonpath={.spec.keystores}"),
    "",
    "pruned when read",
  );
  // What the new schema would refuse may stay as it is, but not be changed into something that it refuses.
  assert.equal((await patch({ spec: { replicas: 3 } })).code, 0);
  assert.match(
    await refusal({ dnsNames: ["c.example.com"] }),
    /spec\.dnsNames\[0\] in body should match '\^b'/,
  );
  assert.equal((await patch({ spec: { dnsNames: ["b.example.com"] } })).code, 0);
});

test("a definition with a rule that costs too much is refused", { skip }, async () => {
  const loop = "self.dnsNames.all(a, self.dnsNames.all(b, a == b || a != b))";
  const spec = certificateSpecWith({ dnsNames: { type: "array", items: { type: "string" } } });
  const definition = certificateDefinition({ ...spec, "x-kubernetes-validations": [{ rule: loop }] });
  const run = await kubectl(
    "apply",
    "--server-side",
    "--force-conflicts",
    "-f",
    file("costly.json", definition),
  );
  assert.match(run.err, /estimated rule cost exceeds budget by factor of more than 100x/);
});

test("names that are taken are not accepted until they are free", { skip }, async () => {
  const other = certificateDefinition() as KubeObject & {
    spec: { names: Record<string, unknown> };
  };
  other.metadata.name = `certs.${group}`;
  Object.assign(other.spec.names, { plural: "certs", singular: "cert", kind: "Cert", listKind: "CertList" });
  delete other.spec.names["shortNames"];
  await succeeds("create", "-f", file("other.json", other));
  const condition = (type: string) =>
    succeeds(
      "get",
      "crd",
      `certs.${group}`,
      "-o",
      `jsonpath={.status.conditions[?(@.type=="${type}")].status} {.status.conditions[?(@.type=="${type}")].message}`,
    );
  await until(async () => (await condition("NamesAccepted")).startsWith("False"));
  assert.equal(await condition("NamesAccepted"), 'False "cert" is already in use');
  assert.match(await condition("Established"), /^False not all names are accepted/);
  await succeeds("delete", "crd", `certs.${group}`);
});

test("a definition goes with its objects, and waits for their finalizers", { skip }, async () => {
  assert.equal((await patch({ metadata: { finalizers: ["wait"] } })).code, 0);
  const name = `certificates.${group}`;
  await succeeds("delete", "crd", name, "--wait=false");
  const reason = `jsonpath={.status.conditions[?(@.type=="Terminating")].reason}`;
  await until(
    async () => (await succeeds("get", "crd", name, "-o", reason)) === "InstanceDeletionInProgress",
  );
  const created = await kubectl("create", "-f", file("late.json", { ...web, metadata: { name: "late" } }));
  assert.match(created.err, /create not allowed while custom resource definition is terminating/);
  assert.equal((await patch({ metadata: { finalizers: null } })).code, 0);
  await until(async () => (await kubectl("get", "crd", name)).code !== 0);
  assert.match((await kubectl("get", "cert")).err, /could not find the requested resource/);
  await succeeds("delete", "crd", "--all", "--timeout=20s");
});

test("a webhook converts between versions", { skip }, async () => {
  const hook = await startConversionServer();
  try {
    const url = `https://127.0.0.1:${hook.port}/convert`;
    const definition = convertedDefinition({ url, caBundle: hook.caBundle });
    await succeeds("create", "-f", file("converted.json", definition));
    await succeeds("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s");
    const address = (version: string, spec: Record<string, unknown>) =>
      file("address.json", {
        apiVersion: `example.com/${version}`,
        kind: "Address",
        metadata: { name: "a" },
        spec,
      });
    const read = (version: string) =>
      succeeds("get", `addresses.${version}.example.com`, "a", "-o", "jsonpath={.apiVersion} {.spec}");
    await succeeds("apply", "-f", address("v2", { address: "db:5432" }));
    assert.equal(await read("v1"), 'example.com/v1 {"host":"db","port":5432}');
    assert.match(await succeeds("apply", "-f", address("v2", { address: "db:5433" })), /configured/);
    assert.equal(await read("v1"), 'example.com/v1 {"host":"db","port":5433}');
    assert.match(await succeeds("apply", "-f", address("v2", { address: "db:5433" })), /unchanged/);
    await succeeds("patch", "addresses.v1.example.com", "a", "--type=merge", "-p", '{"spec":{"port":1}}');
    assert.equal(await read("v2"), 'example.com/v2 {"address":"db:1"}');
    await succeeds("delete", "crd", "addresses.example.com");
  } finally {
    hook.close();
  }
});
