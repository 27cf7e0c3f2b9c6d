import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, normalizeObject } from "./decode.ts";
import { fieldsInOrder, findDuplicateFields, parseMerging } from "./json-document.ts";

const deployment = "io.k8s.api.apps.v1.Deployment";
const pod = "io.k8s.api.core.v1.Pod";

test("wrong types are named with Go's struct, path and type", () => {
  const error = (name: string, value: unknown): string | undefined => decode(name, value).errors[0];
  assert.equal(
    error(deployment, { spec: { template: { spec: { containers: [{ name: 7 }] } } } }),
    "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string",
  );
  assert.equal(
    error(deployment, { spec: { replicas: 1.5 } }),
    "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
  );
  assert.equal(
    error(pod, { spec: { containers: {} } }),
    "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
  );
  assert.match(
    error(pod, { spec: { containers: [{ resources: { limits: { cpu: "x" } } }] } }) ?? "",
    /^quantities must match/,
  );
  assert.equal(
    error(pod, { metadata: { creationTimestamp: "x" } }),
    'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
  );
});

test("unknown fields are collected, known ones become what Go would write", () => {
  const { object, unknownFields, errors } = decode(pod, {
    spec: {
      hostNetwork: false,
      foo: 1,
      nodeName: "",
      containers: [{ name: "c", x: 1, env: [], resources: { limits: { cpu: "1000m" } } }],
    },
  });
  assert.deepEqual(errors, []);
  assert.deepEqual(unknownFields, ["spec.foo", "spec.containers[0].x"]);
  assert.deepEqual(object, {
    metadata: { creationTimestamp: null },
    spec: { containers: [{ name: "c", resources: { limits: { cpu: "1" } } }] },
    status: {},
  });
  assert.deepEqual(normalizeObject(pod, object), object);
});

test("pointers keep their zero values", () => {
  const { object } = decode(pod, {
    spec: { automountServiceAccountToken: false, containers: [{ name: "c", restartPolicy: "" }] },
  });
  assert.deepEqual(object["spec"], {
    automountServiceAccountToken: false,
    containers: [{ name: "c", restartPolicy: "", resources: {} }],
  });
});

test("duplicate keys of a text are found with their paths", () => {
  assert.deepEqual(findDuplicateFields('{"a":1,"b":[{"c":1,"c":2}],"a":{"x":"}"},"d\\"":1}'), [
    "b[0].c",
    "a",
  ]);
});

test("unknown and repeated fields come in the order of the document", () => {
  const text = '{"foo":1,"spec":{"b":1,"2":0,"b":2,"x":{"q":1,"q":1}},"zzz":1}';
  assert.deepEqual(
    fieldsInOrder(text, ["spec.x", "zzz", "foo"]).map((each) => [each.path, each.isRepeated]),
    [
      ["foo", false],
      ["spec.b", true],
      ["spec.x", false],
      ["zzz", false],
    ],
  );
});

test("repeated objects are merged, other repeated values replaced", () => {
  assert.deepEqual(parseMerging('{"data":{"k":"1","k":"2"},"data":{"z":"3"},"n":[1],"n":[2,3]}'), {
    data: { k: "2", z: "3" },
    n: [2, 3],
  });
});
