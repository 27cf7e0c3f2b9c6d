import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { backoffLeftMs, goDuration, nextBackoff } from "./backoff.ts";
import { containerHash } from "./container-hash.ts";
import { hostsFile, parseResolvConf, podDns } from "./dns-config.ts";
import { ContainerConfigError, containerEnvironment } from "./environment.ts";
import type { EnvironmentInput } from "./environment.ts";
import { expand } from "./expansion.ts";
import { garbage } from "./garbage.ts";
import { isValidImageName, pullPolicy, registryOf } from "./image-policy.ts";
import { container, exited, instance, podOf, sandbox, viewOf } from "./pod-fixture.test-support.ts";
import { afterProbe, initialProbeState, isFatal } from "./probe-state.ts";
import { qosClass } from "./qos.ts";
import { milliCpu, quantityBytes } from "./quantity.ts";
import { containerLimits, cpuWeight, oomScoreAdjustment, podLimits } from "./resources.ts";
import { containerSecurity } from "./security.ts";
import { gracePeriodSeconds, stopOrder } from "./termination.ts";
import { volumeFiles } from "./volume-files.ts";

test("back-off doubles to five minutes and is forgotten after ten", () => {
  let entry = nextBackoff(undefined, 0);
  const waits = [entry.waitMs];
  for (let index = 0; index < 6; index++) {
    entry = nextBackoff(entry, 1_000);
    waits.push(entry.waitMs);
  }
  assert.deepEqual(waits, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.equal(nextBackoff(entry, 602_000).waitMs, 10_000);
  assert.equal(backoffLeftMs(entry, 2_000, 12_000), 290_000);
  assert.equal(backoffLeftMs(undefined, 0, 0), 0);
});

test("durations in Go's notation", () => {
  assert.deepEqual([10_000, 80_000, 300_000, 350, 1500, 3_600_000].map(goDuration), [
    "10s",
    "1m20s",
    "5m0s",
    "350ms",
    "1.5s",
    "1h0m0s",
  ]);
});

test("expansion of references", () => {
  const lookup = (name: string) => ({ A: "1", B: "2" })[name];
  assert.equal(expand("$(A)-$(B)-$(C)-$$(A)-$-$(", lookup), "1-2-$(C)-$(A)-$-$(");
  assert.equal(expand("price: 5$", lookup), "price: 5$");
});

test("quantities", () => {
  assert.deepEqual(["100m", "1", "0.5", "1500u"].map(milliCpu), [100, 1000, 500, 2]);
  assert.deepEqual(
    ["64Mi", "1k", "1e3", "128974848000m"].map(quantityBytes),
    [67_108_864, 1000, 1000, 128_974_848],
  );
  assert.equal(milliCpu("one"), undefined);
});

test("quality of service", () => {
  const limits = { cpu: "1", memory: "1Gi" };
  assert.equal(qosClass(podOf({}).spec), "BestEffort");
  assert.equal(qosClass({ containers: [container("a", { resources: { limits } })] }), "Guaranteed");
  assert.equal(
    qosClass({ containers: [container("a", { resources: { limits, requests: { cpu: "500m" } } })] }),
    "Burstable",
  );
  assert.equal(
    qosClass({ containers: [container("a", { resources: { limits } }), container("b")] }),
    "Burstable",
  );
});

test("requests and limits become the kernel's numbers", () => {
  const resources = { requests: { cpu: "100m" }, limits: { cpu: "250m", memory: "64Mi" } };
  assert.deepEqual(containerLimits({ resources }), {
    cpuShares: 102,
    cpuQuotaUs: 25_000,
    memoryLimitBytes: 67_108_864,
  });
  assert.deepEqual(containerLimits({}), { cpuShares: 2, cpuQuotaUs: undefined, memoryLimitBytes: undefined });
  const spec = podOf({ containers: [container("a", { resources }), container("b")] }).spec;
  assert.deepEqual(podLimits(spec), { cpuShares: 102, cpuQuotaUs: undefined, memoryLimitBytes: undefined });
  assert.equal(cpuWeight(1024), 39);
  assert.equal(
    oomScoreAdjustment("Burstable", { resources: { requests: { memory: "1Gi" } } }, 4 * 2 ** 30),
    750,
  );
  assert.equal(oomScoreAdjustment("Guaranteed", {}, 1), -997);
});

describe("environment", () => {
  const base: EnvironmentInput = {
    pod: podOf({}),
    container: container("main"),
    podIps: ["10.42.0.5"],
    node: {
      nodeName: "n",
      hostIps: ["192.0.2.1"],
      allocatable: { cpu: 2, memory: 100, "ephemeral-storage": 10 },
    },
    services: [],
    configMap: () => undefined,
    secret: () => undefined,
  };

  test("service variables in the docker link style", () => {
    const service = (name: string, namespace: string, clusterIP: string) => ({
      metadata: { name, namespace },
      spec: { clusterIP, ports: [{ name: "http-web", port: 80, protocol: "TCP" }] },
    });
    const services = [
      service("my-db", "shop", "10.43.0.9"),
      service("other", "else", "10.43.0.8"),
      service("kubernetes", "default", "10.43.0.1"),
      service("none", "shop", "None"),
    ];
    const result = containerEnvironment({ ...base, services });
    assert.equal(result.get("MY_DB_SERVICE_HOST"), "10.43.0.9");
    assert.equal(result.get("MY_DB_SERVICE_PORT_HTTP_WEB"), "80");
    assert.equal(result.get("MY_DB_PORT_80_TCP"), "tcp://10.43.0.9:80");
    assert.equal(result.get("KUBERNETES_SERVICE_HOST"), "10.43.0.1");
    assert.equal(result.has("OTHER_SERVICE_HOST"), false);
    assert.equal(result.has("NONE_SERVICE_HOST"), false);
  });

  test("a missing ConfigMap is an error unless it is optional", () => {
    const env = (optional: boolean) => [
      { name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "k", optional } } },
    ];
    assert.throws(
      () => containerEnvironment({ ...base, container: container("main", { env: env(false) }) }),
      new ContainerConfigError('configmap "cm" not found'),
    );
    assert.equal(
      containerEnvironment({ ...base, container: container("main", { env: env(true) }) }).has("A"),
      false,
    );
  });

  test("a missing key names where it was looked for", () => {
    const env = [{ name: "A", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }];
    const secret = () => ({ metadata: { name: "s" }, data: {} });
    assert.throws(
      () => containerEnvironment({ ...base, secret, container: container("main", { env }) }),
      /couldn't find key k in Secret shop\/s/,
    );
  });

  test("later variables see earlier ones", () => {
    const env = [
      { name: "A", value: "1" },
      { name: "B", value: "$(A)$(Z)" },
    ];
    const envFrom = [{ prefix: "P_", configMapRef: { name: "cm" } }];
    const configMap = () => ({ metadata: { name: "cm" }, data: { x: "y" } });
    const result = containerEnvironment({
      ...base,
      configMap,
      container: container("main", { env, envFrom }),
    });
    assert.deepEqual(
      [...result],
      [
        ["P_x", "y"],
        ["A", "1"],
        ["B", "1$(Z)"],
      ],
    );
  });
});

describe("names", () => {
  const cluster = { servers: ["10.43.0.10"], domain: "cluster.local" };
  const host = parseResolvConf("nameserver 192.0.2.53\nsearch example.com\noptions timeout:1\n");

  test("resolver by policy", () => {
    assert.deepEqual(podDns(podOf({}), cluster, host), {
      servers: ["10.43.0.10"],
      searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"],
      options: ["ndots:5"],
    });
    assert.deepEqual(podDns(podOf({ dnsPolicy: "Default" }), cluster, host).servers, ["192.0.2.53"]);
    assert.deepEqual(podDns(podOf({ hostNetwork: true }), cluster, host).servers, ["192.0.2.53"]);
    const dnsConfig = {
      nameservers: ["192.0.2.9"],
      searches: ["x.y"],
      options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
    };
    assert.deepEqual(podDns(podOf({ dnsPolicy: "None", dnsConfig }), cluster, host), {
      servers: ["192.0.2.9"],
      searches: ["x.y"],
      options: ["ndots:2", "edns0"],
    });
  });

  test("hosts file", () => {
    const pod = podOf({
      hostname: "h",
      subdomain: "sub",
      hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }],
    });
    const text = hostsFile(pod, ["10.42.0.5"], "cluster.local", "");
    assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    assert.match(text, /10\.42\.0\.5\th\.sub\.shop\.svc\.cluster\.local\th\n/);
    assert.match(text, /1\.2\.3\.4\ta\tb\n/);
  });
});

test("pull policy and references", () => {
  assert.deepEqual(
    ["a", "a:latest", "a:1", "r.example:5000/a", "a@sha256:0"].map((image) => pullPolicy(image, undefined)),
    ["Always", "Always", "IfNotPresent", "Always", "IfNotPresent"],
  );
  assert.equal(pullPolicy("a", "Never"), "Never");
  assert.deepEqual(["busybox", "a/b", "localhost/x:1", "r.example:5000/a"].map(registryOf), [
    "docker.io",
    "docker.io",
    "localhost",
    "r.example:5000",
  ]);
  assert.deepEqual(
    ["busybox:1.36", "r.example:5000/a/b_c:x", "Bad Name", "UPPER/x:1", "a::b"].map(isValidImageName),
    [true, true, false, true, false],
  );
});

test("probes change their verdict only after enough equal results", () => {
  let state = initialProbeState("liveness");
  const probe = { failureThreshold: 3, successThreshold: 1 };
  for (const success of [true, false, false, true, false, false])
    state = afterProbe(state, "liveness", probe, success);
  assert.equal(isFatal(state, "liveness"), false);
  state = afterProbe(state, "liveness", probe, false);
  assert.equal(isFatal(state, "liveness"), true);
  const readiness = afterProbe(initialProbeState("readiness"), "readiness", { successThreshold: 2 }, true);
  assert.equal(readiness.success, false);
  assert.equal(afterProbe(readiness, "readiness", { successThreshold: 2 }, true).success, true);
});

test("sidecars stop last, in reverse order", () => {
  const pod = podOf({
    initContainers: [
      container("s1", { restartPolicy: "Always" }),
      container("s2", { restartPolicy: "Always" }),
    ],
  });
  const view = viewOf([instance("main"), instance("s2"), instance("s1"), exited("old", 0)]);
  assert.deepEqual(
    stopOrder(pod, view).map((group) => group.map((each) => each.name)),
    [["main"], ["s2"], ["s1"]],
  );
  assert.equal(gracePeriodSeconds(podOf({ terminationGracePeriodSeconds: 5 })), 5);
  assert.equal(gracePeriodSeconds(podOf({}, { deletionGracePeriodSeconds: 0 })), 1);
});

test("of dead containers the last two stay", () => {
  const view = viewOf(
    [
      instance("main", { id: "c3" }),
      exited("main", 1, { id: "c2" }),
      exited("main", 1, { id: "c1", sandboxId: "s-old" }),
    ],
    [sandbox(), sandbox({ id: "s-old", ready: false })],
  );
  const found = garbage(view);
  assert.deepEqual(
    found.containers.map((each) => each.id),
    ["c1"],
  );
  assert.deepEqual(found.sandboxes, ["s-old"]);
});

test("the hash follows name and image only", () => {
  assert.equal(containerHash(container("a")), containerHash(container("a", { env: [] })));
  assert.notEqual(containerHash(container("a")), containerHash(container("a", { image: "x" })));
});

test("root is refused where the pod says non-root", () => {
  const pod = podOf({ securityContext: { runAsNonRoot: true } });
  const image = { uid: undefined, username: "" };
  assert.throws(() => containerSecurity(pod, container("main"), image), /image will run as root/);
  assert.throws(
    () => containerSecurity(pod, container("main", { securityContext: { runAsUser: 0 } }), image),
    /breaks non-root policy/,
  );
  const fine = containerSecurity(
    pod,
    container("main", { securityContext: { runAsUser: 7, allowPrivilegeEscalation: false } }),
    image,
  );
  assert.deepEqual([fine.runAsUser, fine.noNewPrivs], [{ value: 7 }, true]);
});

describe("files of volumes", () => {
  const input = {
    pod: podOf({}, { labels: { b: "2", a: "1" } }),
    podIps: [],
    node: { nodeName: "n", hostIps: [], allocatable: { cpu: 2, memory: 100, "ephemeral-storage": 10 } },
    configMap: (name: string) => (name === "cm" ? { metadata: {}, data: { k: "v", l: "w" } } : undefined),
    secret: () => undefined,
    token: () => "t",
  };
  const texts = (files: ReturnType<typeof volumeFiles>) =>
    Object.fromEntries(
      [...files].map(([path, file]) => [
        path,
        `${new TextDecoder().decode(file.data)} ${file.mode.toString(8)}`,
      ]),
    );

  test("all keys, or chosen ones with paths and modes", () => {
    assert.deepEqual(texts(volumeFiles({ name: "v", configMap: { name: "cm" } }, input)), {
      k: "v 644",
      l: "w 644",
    });
    const items = [{ key: "k", path: "x/y", mode: 0o600 }];
    assert.deepEqual(texts(volumeFiles({ name: "v", configMap: { name: "cm", items } }, input)), {
      "x/y": "v 600",
    });
  });

  test("what is missing is said in upstream's words", () => {
    assert.throws(
      () => volumeFiles({ name: "v", configMap: { name: "nope" } }, input),
      /^Error: configmap "nope" not found$/,
    );
    assert.throws(
      () => volumeFiles({ name: "v", secret: { secretName: "nope" } }, input),
      /secret "nope" not found/,
    );
    const items = [{ key: "z", path: "z" }];
    assert.throws(
      () => volumeFiles({ name: "v", configMap: { name: "cm", items } }, input),
      /configmap references non-existent config key: z/,
    );
    assert.equal(volumeFiles({ name: "v", configMap: { name: "nope", optional: true } }, input).size, 0);
  });

  test("projected sources come together", () => {
    const sources = [
      { serviceAccountToken: { path: "token" } },
      { configMap: { name: "cm", items: [{ key: "k", path: "ca.crt" }] } },
      { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
    ];
    assert.deepEqual(texts(volumeFiles({ name: "v", projected: { sources, defaultMode: 0o444 } }, input)), {
      token: "t 444",
      "ca.crt": "v 444",
      labels: 'a="1"\nb="2" 444',
    });
  });
});
