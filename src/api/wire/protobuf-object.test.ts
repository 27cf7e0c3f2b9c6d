import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";
import { decode, normalizeObject } from "#kinds/decode.ts";
import { schemaNameOfKind } from "#kinds/protobuf.ts";
import { decodeProtobufBody } from "./protobuf.ts";
import { encodeProtobuf, encodeProtobufEvent, hasProtobufForm } from "./protobuf-object.ts";

const golden = join(import.meta.dirname, "../../../../shared/golden/api/corpus");

function roundTrip(object: Record<string, unknown>): Record<string, unknown> {
  return decodeProtobufBody(encodeProtobuf(object), schemaNameOfKind);
}

test("a pod with pointers, maps, quantities and times comes back as it was", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "a",
      creationTimestamp: "2020-01-02T03:04:05Z",
      labels: { a: "b" },
      deletionGracePeriodSeconds: 0,
      managedFields: [
        { manager: "m", operation: "Update", fieldsType: "FieldsV1", fieldsV1: { "f:spec": { ".": {} } } },
      ],
    },
    spec: {
      priority: -5,
      volumes: [{ name: "v", emptyDir: { sizeLimit: "1Gi" } }],
      containers: [
        {
          name: "c",
          resources: { requests: { cpu: "100m" } },
          livenessProbe: { httpGet: { port: "http" } },
          readinessProbe: { tcpSocket: { port: 80 } },
        },
      ],
    },
    status: { startTime: "2020-01-01T00:00:00Z" },
  };
  assert.deepEqual(roundTrip(pod), pod);
});

test("what has more than seconds keeps it, and secrets their bytes", () => {
  const lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "l" },
    spec: { renewTime: "2020-01-01T00:00:00.000123Z", leaseTransitions: 0 },
  };
  assert.deepEqual(roundTrip(lease), lease);
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, data: { k: "AAEC/w==" } };
  assert.deepEqual(roundTrip(secret), secret);
});

test("an event of a watch says how long it is", () => {
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
  const frame = encodeProtobufEvent("ADDED", object);
  assert.equal(frame.readUInt32BE(0), frame.length - 4);
  assert.ok(frame.includes(encodeProtobuf(object)));
});

test(
  "every recorded object survives the way through protobuf",
  { skip: !existsSync(golden) && "the golden data are not here" },
  () => {
    let count = 0;
    for (const file of readdirSync(golden, { recursive: true, encoding: "utf8" })) {
      if (!/^(crud|validation|formats)\/.*\.json$/.test(file)) continue;
      const scenario = JSON.parse(readFileSync(join(golden, file), "utf8")) as {
        objects?: Record<string, Record<string, unknown>>;
        steps: { request: { body?: Record<string, unknown> } }[];
      };
      const bodies = scenario.steps.flatMap(({ request }) =>
        request.body === undefined ? [] : [request.body],
      );
      for (const body of [...bodies, ...Object.values(scenario.objects ?? {})]) {
        const { apiVersion, kind } = body;
        const name = schemaNameOfKind(String(apiVersion), String(kind));
        if (name === undefined || !hasProtobufForm(String(apiVersion), String(kind))) continue;
        const decoded = decode(name, body);
        if (decoded.errors.length > 0) continue;
        const object = normalizeObject(name, decoded.object);
        const back = decode(name, roundTrip(object)).object;
        assert.deepEqual(normalizeObject(name, back), object, `${file} ${String(kind)}`);
        count += 1;
      }
    }
    assert.ok(count > 50, `${count} objects`);
  },
);
