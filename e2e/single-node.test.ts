/**
 * One node from nothing, as a new user gets it: `trivet up`, then real kubectl without special flags.
 * The node lives in a data directory of its own and is removed at the end.
 */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { demoImage } from "#cli/demo.ts";
import { hasKubectl, Kubectl, kubectlPath, launcher, must, run, skipUnlessRoot, waitFor } from "./harness.ts";

const skip = skipUnlessRoot || (hasKubectl ? false : "needs kubectl");
const dataDir = "/var/lib/trivet-e2e";
const home = mkdtempSync("/tmp/trivet-e2e-home-");
const environment = { TRIVET_DATA_DIR: dataDir, HOME: home };

async function trivet(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return run(launcher, args, { env: environment, timeoutMs: 300_000 });
}

function pod(name: string, spec: Record<string, unknown>, container: Record<string, unknown> = {}): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { test: name } },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...spec,
      containers: [{ name: "main", image: demoImage, command: ["sh", "-c", "sleep 3600"], ...container }],
    },
  };
}

describe("one node", { skip, timeout: 900_000 }, () => {
  const kubectl = new Kubectl(join(dataDir, "kubeconfig"));

  before(async () => {
    await trivet("reset", "--yes");
    const up = await trivet("up");
    assert.equal(up.code, 0, up.stderr);
    assert.match(up.stderr, /keys and identity .* created/);
    assert.match(up.stderr, /Ready/);
    assert.match(up.stdout, /What to type next/);
  });
  after(async () => {
    const reset = await trivet("reset", "--yes");
    rmSync(home, { recursive: true, force: true });
    assert.equal(reset.code, 0, reset.stderr);
    assert.ok(!existsSync(dataDir));
  });

  test("a second up changes nothing and says so", async () => {
    const again = await trivet("up");
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /already up and Ready: nothing to do/);
  });

  test("secrets are readable by root only", () => {
    for (const file of ["node.json", "kubeconfig", "pki/ca.key", "pki/service-account.key"])
      assert.equal(statSync(join(dataDir, file)).mode & 0o777, 0o600, file);
  });

  test("kubectl finds the cluster without flags", async () => {
    const output = await must(kubectlPath(), ["get", "nodes", "-o", "wide"], { env: { HOME: home } });
    assert.match(output, /Ready .*v1\.32\.13\+trivet.*containerd:\/\//);
    assert.match(await kubectl.ok(["version"]), /Server Version: v1\.32\.13\+trivet/);
    assert.match(await kubectl.ok(["cluster-info"]), /control plane.* is running at https:/);
    assert.match(await kubectl.ok(["api-resources"]), /deployments +deploy +apps\/v1 +true +Deployment/);
    assert.match(await kubectl.ok(["explain", "pod.spec.containers"]), /FIELD: containers <\[\]Container>/);
    assert.equal((await kubectl.ok(["auth", "can-i", "delete", "nodes"])).trim(), "yes");
    const cannot = await kubectl.run([
      "auth",
      "can-i",
      "get",
      "pods",
      "--as=system:serviceaccount:default:default",
    ]);
    assert.equal(cannot.stdout.trim(), "no");
  });

  test("a Deployment's whole life", async () => {
    await kubectl.ok(["create", "deployment", "life", `--image=${demoImage}`, "--replicas=2", "--port=8080"]);
    await kubectl.ok(["rollout", "status", "deployment/life", "--timeout=60s"]);
    assert.match(await kubectl.ok(["get", "pods", "-A"]), /default +life-[a-z0-9]+-[a-z0-9]+ +1\/1 +Running/);
    await kubectl.ok(["scale", "deployment/life", "--replicas=3"]);
    await kubectl.ok([
      "wait",
      "--for=jsonpath={.status.readyReplicas}=3",
      "deployment/life",
      "--timeout=60s",
    ]);
    await kubectl.ok(["rollout", "restart", "deployment/life"]);
    await kubectl.ok(["rollout", "status", "deployment/life", "--timeout=90s"]);
    await kubectl.ok(["set", "env", "deployment/life", "COLOUR=blue"]);
    await kubectl.ok(["rollout", "status", "deployment/life", "--timeout=90s"]);
    assert.match(await kubectl.ok(["rollout", "history", "deployment/life"]), /REVISION[^]*1 [^]*2 [^]*3 /);
    await kubectl.ok(["rollout", "undo", "deployment/life"]);
    await kubectl.ok(["rollout", "status", "deployment/life", "--timeout=90s"]);
    assert.doesNotMatch(await kubectl.ok(["get", "deployment", "life", "-o", "yaml"]), /COLOUR/);
    await kubectl.ok(["set", "image", "deployment/life", "demo=trivet.local/absent:1"]);
    await waitFor("the missing image is reported", 60_000, async () =>
      /ErrImagePull|ImagePullBackOff/.test(await kubectl.ok(["get", "pods", "-l", "app=life"])),
    );
    await kubectl.ok(["rollout", "undo", "deployment/life"]);
    await kubectl.ok(["rollout", "status", "deployment/life", "--timeout=90s"]);
    await kubectl.ok(["label", "deployment/life", "tier=front"]);
    await kubectl.ok(["annotate", "deployment/life", "note=hello"]);
    await must(kubectlPath(), ["edit", "deployment/life"], {
      env: {
        KUBECONFIG: kubectl.kubeconfig,
        EDITOR: "sed -i s/hello/goodbye/",
        KUBE_EDITOR: "sed -i s/hello/goodbye/",
      },
    });
    assert.match(await kubectl.ok(["describe", "deployment", "life"]), /goodbye[^]*ScalingReplicaSet/);
    await kubectl.ok(["delete", "deployment", "life"]);
    await kubectl.ok(["wait", "--for=delete", "pod", "-l", "app=life", "--timeout=60s"]);
    assert.match(await kubectl.ok(["get", "events"]), /Created[^]*Started|Started[^]*Created/);
    const described = await kubectl.ok(["describe", "nodes"]);
    for (const reason of ["Starting ", "NodeReady ", "RegisteredNode "])
      assert.ok(described.includes(reason), `${reason}is among the node's events: ${described}`);
    assert.match(await kubectl.ok(["get", "events", "-n", "kube-system"]), /LeaderElection.* became leader/);
  });

  test("apply creates and changes; diff shows; output formats", async () => {
    const configMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "applied", namespace: "default" },
      data: { a: "1" },
    };
    assert.match(await kubectl.apply(configMap), /created/);
    const changed = { ...configMap, data: { a: "2", b: "3" } };
    const diff = await kubectl.run(["diff", "-f", "-"], JSON.stringify(changed));
    assert.equal(diff.code, 1);
    assert.match(diff.stdout, /^-\s+a: "1"$/m);
    assert.match(await kubectl.apply(changed), /configured/);
    assert.match(await kubectl.apply(changed), /unchanged/);
    assert.match(
      await kubectl.ok(["apply", "--server-side", "--force-conflicts", "-f", "-"], JSON.stringify(changed)),
      /serverside-applied/,
    );
    assert.equal(await kubectl.ok(["get", "cm", "applied", "-o", "jsonpath={.data.b}"]), "3");
    assert.match(
      await kubectl.ok(["get", "cm", "applied", "-o", "custom-columns=N:.metadata.name,A:.data.a"]),
      /applied +2/,
    );
    assert.match(await kubectl.ok(["get", "cm", "applied", "-o", "yaml"]), /^data:\n {2}a: "2"$/m);
    await kubectl.ok(["delete", "cm", "applied"]);
  });

  test("bad input is answered with upstream's errors", async () => {
    const yaml = await kubectl.run(["apply", "-f", "-"], "a: [b\n");
    assert.notEqual(yaml.code, 0);
    const invalid = await kubectl.run(["create", "-f", "-"], JSON.stringify(pod("Bad_Name", {})));
    assert.match(invalid.stderr, /The Pod "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name"/);
    const unknown = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "u" }, dta: {} });
    assert.match(
      (await kubectl.run(["create", "-f", "-"], unknown)).stderr,
      /strict decoding error: unknown field "dta"/,
    );
    const warned = await kubectl.run(["create", "--validate=warn", "-f", "-"], unknown);
    assert.equal(warned.code, 0);
    assert.match(warned.stderr, /Warning: unknown field "dta"/);
    await kubectl.ok(["delete", "cm", "u"]);
  });

  test("configuration, volumes, resources and environment reach the container", async () => {
    await kubectl.ok([
      "create",
      "configmap",
      "settings",
      "--from-literal=COLOUR=red",
      "--from-literal=file.txt=text",
    ]);
    await kubectl.ok(["create", "secret", "generic", "keys", "--from-literal=PASSWORD=s3cret"]);
    await kubectl.apply(
      pod(
        "volumes",
        {
          volumes: [
            { name: "settings", configMap: { name: "settings" } },
            { name: "keys", secret: { secretName: "keys" } },
            { name: "scratch", emptyDir: {} },
            { name: "host", hostPath: { path: home } },
          ],
        },
        {
          env: [
            { name: "COLOUR", valueFrom: { configMapKeyRef: { name: "settings", key: "COLOUR" } } },
            { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
            { name: "GREETING", value: "I am $(POD)" },
          ],
          envFrom: [{ secretRef: { name: "keys" } }],
          resources: { requests: { cpu: "50m", memory: "16Mi" }, limits: { cpu: "200m", memory: "64Mi" } },
          volumeMounts: [
            { name: "settings", mountPath: "/settings" },
            { name: "keys", mountPath: "/keys", readOnly: true },
            { name: "scratch", mountPath: "/scratch" },
            { name: "host", mountPath: "/host" },
          ],
        },
      ),
    );
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/volumes", "--timeout=60s"]);
    const script =
      'echo "$COLOUR|$GREETING|$PASSWORD|$(cat /settings/file.txt)|$(cat /keys/PASSWORD)"; touch /scratch/a /host/from-pod; id -u';
    assert.match(
      await kubectl.ok(["exec", "volumes", "--", "sh", "-c", script]),
      /^red\|I am volumes\|s3cret\|text\|s3cret\n0\n$/,
    );
    assert.ok(existsSync(join(home, "from-pod")));
    const limit = await kubectl.ok([
      "exec",
      "volumes",
      "--",
      "sh",
      "-c",
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
    ]);
    assert.equal(limit.trim(), String(64 * 1024 * 1024));
    await kubectl
      .ok([
        "create",
        "configmap",
        "settings",
        "--from-literal=file.txt=changed",
        "--dry-run=client",
        "-o",
        "yaml",
      ])
      .then((yaml) => kubectl.ok(["apply", "-f", "-"], yaml));
    await waitFor(
      "the volume follows the ConfigMap",
      90_000,
      async () => (await kubectl.ok(["exec", "volumes", "--", "cat", "/settings/file.txt"])) === "changed",
    );
    await kubectl.ok(["delete", "pod/volumes", "configmap/settings", "secret/keys"]);
  });

  test("logs, exec, cp, attach and port-forward", async () => {
    await kubectl.apply(
      pod(
        "talker",
        {},
        { command: ["sh", "-c", "for i in 1 2 3; do echo line $i; done; /bin/httpd -f -p 8080 -h /www"] },
      ),
    );
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/talker", "--timeout=60s"]);
    assert.equal(await kubectl.ok(["logs", "talker"]), "line 1\nline 2\nline 3\n");
    assert.equal(await kubectl.ok(["logs", "talker", "--tail=1"]), "line 3\n");
    assert.equal(await kubectl.ok(["exec", "-i", "talker", "--", "cat"], "through stdin"), "through stdin");
    const failed = await kubectl.run(["exec", "talker", "--", "sh", "-c", "echo oops >&2; exit 7"]);
    assert.equal(failed.code, 7);
    assert.match(failed.stderr, /oops/);
    const file = join(home, "copied.txt");
    writeFileSync(file, "x".repeat(100_000));
    await kubectl.ok(["cp", file, "talker:/tmp/copied.txt"]);
    assert.equal(
      (await kubectl.ok(["exec", "talker", "--", "wc", "-c", "/tmp/copied.txt"])).split(" ")[0],
      "100000",
    );
    await kubectl.ok(["cp", "talker:/tmp/copied.txt", join(home, "back.txt")]);
    assert.equal(statSync(join(home, "back.txt")).size, 100_000);
    const forward = spawn(kubectlPath(), ["port-forward", "pod/talker", "18099:8080"], {
      env: { ...process.env, KUBECONFIG: kubectl.kubeconfig },
    });
    try {
      await new Promise<void>((resolve) => forward.stdout.once("data", () => resolve()));
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect(18099, "127.0.0.1", () => socket.end("GET / HTTP/1.0\r\n\r\n"));
        let text = "";
        socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
        socket.on("close", () => resolve(text));
        socket.on("error", reject);
      });
      assert.match(answer, /^HTTP\/1\.[01] /);
    } finally {
      forward.kill();
    }
    const interactive = await kubectl.ok(
      [
        "run",
        "once",
        "--rm",
        "-i",
        "--restart=Never",
        `--image=${demoImage}`,
        "--command",
        "--",
        "sh",
        "-c",
        "cat; echo done",
      ],
      "typed\n",
    );
    assert.match(interactive, /typed\ndone/);
    const follow = spawn(kubectlPath(), ["logs", "-f", "talker"], {
      env: { ...process.env, KUBECONFIG: kubectl.kubeconfig },
    });
    const ended = new Promise((resolve) => follow.once("close", resolve));
    await kubectl.ok(["delete", "pod", "talker"]);
    await ended;
  });

  test("probes, restarts with back-off, graceful termination", async () => {
    await kubectl.apply(
      pod(
        "alive",
        {},
        {
          command: ["sh", "-c", "touch /tmp/ok; sleep 3600"],
          livenessProbe: { exec: { command: ["cat", "/tmp/ok"] }, periodSeconds: 1, failureThreshold: 1 },
          readinessProbe: { exec: { command: ["cat", "/tmp/ready"] }, periodSeconds: 1 },
          startupProbe: { exec: { command: ["true"] }, periodSeconds: 1 },
        },
      ),
      pod("crash", {}, { command: ["sh", "-c", "echo crashed; exit 3"] }),
    );
    await waitFor("running, not ready", 60_000, async () =>
      /alive +0\/1 +Running/.test(await kubectl.ok(["get", "pods"])),
    );
    await kubectl.ok(["exec", "alive", "--", "touch", "/tmp/ready"]);
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/alive", "--timeout=30s"]);
    await kubectl.ok(["exec", "alive", "--", "rm", "/tmp/ok"]);
    await waitFor(
      "restarted by the liveness probe",
      60_000,
      async () =>
        Number(
          await kubectl.ok([
            "get",
            "pod",
            "alive",
            "-o",
            "jsonpath={.status.containerStatuses[0].restartCount}",
          ]),
        ) >= 1,
    );
    await waitFor("back-off", 90_000, async () =>
      /CrashLoopBackOff/.test(await kubectl.ok(["get", "pod", "crash"])),
    );
    assert.equal(await kubectl.ok(["logs", "crash", "--previous"]), "crashed\n");
    assert.match(await kubectl.ok(["describe", "pod", "alive"]), /Unhealthy/);
    await kubectl
      .apply(
        pod(
          "graceful",
          { terminationGracePeriodSeconds: 30 },
          {
            command: ["sh", "-c", "trap 'touch /out/stopped; exit 0' TERM; while true; do sleep 0.1; done"],
            volumeMounts: [{ name: "out", mountPath: "/out" }],
          },
        ) as Record<string, unknown>,
      )
      .catch((error: Error) => assert.match(error.message, /Not found: "out"/));
    await kubectl.apply(
      pod(
        "graceful",
        { terminationGracePeriodSeconds: 30, volumes: [{ name: "out", hostPath: { path: home } }] },
        {
          command: ["sh", "-c", "trap 'touch /out/stopped; exit 0' TERM; while true; do sleep 0.1; done"],
          volumeMounts: [{ name: "out", mountPath: "/out" }],
        },
      ),
    );
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/graceful", "--timeout=60s"]);
    await kubectl.ok(["delete", "pod", "graceful", "--timeout=20s"]);
    assert.ok(existsSync(join(home, "stopped")), "the container was asked to stop");
    await kubectl.ok(["delete", "pod", "alive", "crash", "--wait=false"]);
  });

  test("Services: ClusterIP, NodePort, DNS, and the API from a pod", async () => {
    await kubectl.ok(["create", "deployment", "web", `--image=${demoImage}`, "--replicas=2", "--port=8080"]);
    await kubectl.ok(["expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort"]);
    await kubectl.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    const service = await kubectl.json<{ spec: { clusterIP: string; ports: { nodePort: number }[] } }>([
      "get",
      "service",
      "web",
    ]);
    const address = await kubectl.ok([
      "get",
      "nodes",
      "-o",
      'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}',
    ]);
    for (const target of [service.spec.clusterIP, `${address}:${service.spec.ports[0]?.nodePort ?? 0}`])
      await waitFor(`an answer from ${target}`, 20_000, async () =>
        /web-/.test(await (await fetch(`http://${target}/`)).text()),
      );
    await kubectl.apply(pod("client", {}));
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/client", "--timeout=60s"]);
    const inPod = async (...command: string[]): Promise<string> =>
      kubectl.ok(["exec", "client", "--", ...command]);
    assert.match(
      await inPod("nslookup", "web.default.svc.cluster.local"),
      new RegExp(service.spec.clusterIP.replaceAll(".", "\\.")),
    );
    for (const host of ["web", "web.default", "web.default.svc.cluster.local"])
      assert.match(await inPod("timeout", "5", "wget", "-qO-", `http://${host}/`), /web-/);
    const token = await inPod("cat", "/var/run/secrets/kubernetes.io/serviceaccount/token");
    const payload = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
      sub: string;
    };
    assert.equal(payload.sub, "system:serviceaccount:default:default");
    const host = await inPod("sh", "-c", "echo https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT");
    assert.match(host, /^https:\/\/10\.43\.0\.1:443\n$/);
    const refused = await kubectl.run([
      "get",
      "pods",
      "--token",
      token,
      "--kubeconfig",
      "/dev/null",
      "--server",
      `https://${address}:16443`,
      "--insecure-skip-tls-verify",
    ]);
    assert.match(
      refused.stderr,
      /Forbidden.*system:serviceaccount:default:default.*cannot list resource "pods"/,
    );
    await kubectl.ok(["delete", "deployment/web", "service/web", "pod/client"]);
  });

  test("deletion: finalizers, cascades, namespaces", async () => {
    await kubectl.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "held", namespace: "default", finalizers: ["example.com/hold"] },
    });
    await kubectl.ok(["delete", "cm", "held", "--wait=false"]);
    assert.match(await kubectl.ok(["get", "cm", "held", "-o", "yaml"]), /deletionTimestamp/);
    await kubectl.ok([
      "patch",
      "cm",
      "held",
      "--type=json",
      "-p",
      '[{"op":"remove","path":"/metadata/finalizers"}]',
    ]);
    await kubectl.ok(["wait", "--for=delete", "cm/held", "--timeout=20s"]);
    await kubectl.ok(["create", "namespace", "passing"]);
    await waitFor(
      "the default service account",
      20_000,
      async () => (await kubectl.run(["get", "sa", "default", "-n", "passing"])).code === 0,
    );
    await kubectl.ok(["create", "deployment", "d", "-n", "passing", `--image=${demoImage}`]);
    await kubectl.ok(["rollout", "status", "deployment/d", "-n", "passing", "--timeout=60s"]);
    await kubectl.ok(["delete", "deployment", "d", "-n", "passing", "--cascade=orphan"]);
    assert.match(await kubectl.ok(["get", "rs", "-n", "passing"]), /d-/);
    await kubectl.ok(["delete", "namespace", "passing", "--timeout=60s"]);
    assert.match((await kubectl.run(["get", "namespace", "passing"])).stderr, /NotFound/);
  });

  test("the demo is deployed, answers and is removed", async () => {
    const demo = await trivet("demo");
    assert.equal(demo.code, 0, demo.stderr);
    assert.match(demo.stdout, /The demo answers at http:.*\nRemove it with: .*trivet demo --remove/);
    const removed = await trivet("demo", "--remove");
    assert.equal(removed.code, 0, removed.stderr);
  });

  test("images are imported, listed, exported and removed", async () => {
    const archive = join(home, "demo.tar");
    const exported = await trivet("images", "export", archive, demoImage);
    assert.equal(exported.code, 0, exported.stderr);
    assert.match((await trivet("images", "import", archive)).stdout, /imported trivet\.local\/demo:0.1/);
    assert.match((await trivet("images", "list")).stdout, /trivet\.local\/demo:0.1/);
    assert.match(
      (await trivet("images", "import", "/nowhere.tar")).stderr,
      /^trivet: [^\n]*\/nowhere\.tar[^\n]*\n$/,
    );
  });

  test("stop and start: the containers go on and are adopted", async () => {
    await kubectl.apply(pod("survivor", {}));
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/survivor", "--timeout=60s"]);
    const id = await kubectl.ok([
      "get",
      "pod",
      "survivor",
      "-o",
      "jsonpath={.status.containerStatuses[0].containerID}",
    ]);
    assert.equal((await trivet("stop")).code, 0);
    const stopped = await trivet("status");
    assert.notEqual(stopped.code, 0);
    assert.match(stopped.stdout, /not ready.*the node is not running/);
    const started = await trivet("start");
    assert.equal(started.code, 0, started.stderr);
    await kubectl.ok(["wait", "--for=condition=Ready", "pod/survivor", "--timeout=30s"]);
    assert.equal(
      await kubectl.ok([
        "get",
        "pod",
        "survivor",
        "-o",
        "jsonpath={.status.containerStatuses[0].containerID}",
      ]),
      id,
    );
    assert.equal(await kubectl.ok(["exec", "survivor", "--", "echo", "alive"]), "alive\n");
    await kubectl.ok(["delete", "pod", "survivor"]);
  });

  test("up refuses bad circumstances with one line", async () => {
    const other = { ...environment, TRIVET_DATA_DIR: join(home, "other") };
    const taken = await run(launcher, ["up"], { env: other });
    assert.notEqual(taken.code, 0);
    assert.match(taken.stderr, /trivet: port 16443 \(api\) is taken/);
    assert.ok(!existsSync(join(home, "other", "node.json")), "nothing half-done is left");
    const broken = join(home, "broken");
    await must("mkdir", ["-p", broken]);
    writeFileSync(join(broken, "node.json"), "{");
    const refused = await run(launcher, ["up"], { env: { ...environment, TRIVET_DATA_DIR: broken } });
    assert.match(
      refused.stderr,
      /trivet: .*node\.json can't be used: it is not JSON; restore it, or run "trivet reset"/,
    );
    assert.notEqual(refused.code, 0);
  });
});
