import { test } from "node:test";
import assert from "node:assert/strict";
import { schemaNameOfKind } from "#kinds/protobuf.ts";
import { decodeProtobufBody } from "./protobuf.ts";

/** Field number and content to wire bytes: strings and nested messages are length-delimited, numbers varints. */
function message(...fields: [number, string | number | Uint8Array][]): Uint8Array {
  return Buffer.concat(
    fields.map(([number, content]) => {
      if (typeof content === "number") return Buffer.from([...varint(number * 8), ...varint(content)]);
      const bytes = Buffer.from(content);
      return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes]);
    }),
  );
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const type = message([1, apiVersion], [2, kind]);
  return Buffer.concat([Buffer.from("k8s\0"), message([1, type], [2, raw], [3, ""], [4, ""])]);
}

test("a ConfigMap with maps of strings and bytes", () => {
  const meta = message(
    [1, "x"],
    [2, ""],
    [3, "default"],
    [7, 0],
    [8, message()],
    [11, message([1, "a"], [2, "b"])],
  );
  const raw = message(
    [1, meta],
    [2, message([1, "key"], [2, "value"])],
    [3, message([1, "bin"], [2, Uint8Array.of(1, 2)])],
  );
  assert.deepEqual(decodeProtobufBody(envelope("v1", "ConfigMap", raw), schemaNameOfKind), {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "x", namespace: "default", labels: { a: "b" } },
    data: { key: "value" },
    binaryData: { bin: "AQI=" },
  });
});

test("embedded structs are inline, pointers keep zero, special messages have their own JSON", () => {
  const keySelector = message([1, message([1, "settings"])], [2, "colour"], [3, 0]);
  const env = message([1, "COLOUR"], [2, ""], [3, message([3, keySelector])]);
  const resources = message([1, message([1, "cpu"], [2, message([1, "100m"])])]);
  const probe = message(
    [1, message([2, message([1, "/"], [2, message([1, 1], [2, 0], [3, "http"])])])],
    [2, 0],
  );
  const container = message([1, "c"], [7, env], [8, resources], [10, probe], [16, 0]);
  const template = message([2, message([2, container], [4, 0], [11, 0])]);
  const raw = message([2, message([1, 0], [3, template])]);
  assert.deepEqual(decodeProtobufBody(envelope("apps/v1", "Deployment", raw), schemaNameOfKind)["spec"], {
    replicas: 0,
    template: {
      spec: {
        containers: [
          {
            name: "c",
            env: [
              {
                name: "COLOUR",
                valueFrom: { configMapKeyRef: { name: "settings", key: "colour", optional: false } },
              },
            ],
            resources: { limits: { cpu: "100m" } },
            livenessProbe: { httpGet: { path: "/", port: "http" } },
          },
        ],
        terminationGracePeriodSeconds: 0,
      },
    },
  });
});

test("what is not a protobuf message is refused", () => {
  assert.throws(
    () => decodeProtobufBody(Buffer.from("{}"), schemaNameOfKind),
    /does not appear to be a protobuf message/,
  );
  assert.throws(
    () => decodeProtobufBody(envelope("v1", "Nonsense", message()), schemaNameOfKind),
    /no kind "Nonsense"/,
  );
  const torn = envelope("v1", "ConfigMap", message([1, "x"])).subarray(0, 20);
  assert.throws(() => decodeProtobufBody(torn, schemaNameOfKind), /unexpected EOF/);
});
