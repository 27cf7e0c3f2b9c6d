import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import type { RuntimeImage } from "./cri/messages.ts";
import { ImageError, ImagePuller, pullCredentials } from "./image-puller.ts";
import { container, podOf } from "./plan/pod-fixture.test-support.ts";

/** A registry and a node's images, as much of them as a pull sees. */
class FakeImages {
  present = new Set<string>();
  registry = new Set<string>();
  pulls = 0;
  /** Pulls wait for this. */
  gate: Promise<void> = Promise.resolve();

  imageStatus(image: string): Promise<RuntimeImage | undefined> {
    const found = { id: "sha256:1", repoTags: [image], repoDigests: [], size: "42", uid: null, username: "" };
    return Promise.resolve(this.present.has(image) ? found : undefined);
  }

  async pullImage(image: string): Promise<string> {
    this.pulls++;
    await this.gate;
    if (!this.registry.has(image)) throw Object.assign(new Error("x"), { code: 5, details: "not found" });
    this.present.add(image);
    return "sha256:1";
  }
}

describe("an image", () => {
  let images: FakeImages;
  let puller: ImagePuller;
  let nowMs: number;
  let events: string[];

  beforeEach(() => {
    images = new FakeImages();
    nowMs = 0;
    events = [];
    puller = new ImagePuller(images, { nowMs: () => nowMs, monotonicMs: () => nowMs });
  });

  function ensure(
    image: string,
    imagePullPolicy = "IfNotPresent",
    uid = "u-1",
    signal = new AbortController().signal,
  ) {
    return puller.ensure({
      pod: podOf({}, { uid }),
      container: container("main", { image, imagePullPolicy }),
      sandbox: undefined,
      secret: () => undefined,
      event: (_type, reason, message) => events.push(`${reason}: ${message}`),
      signal,
    });
  }

  const reason = (expected: string) => (error: unknown) =>
    error instanceof ImageError && error.reason === expected;

  test("that is there is not pulled", async () => {
    images.present.add("app:1");
    await ensure("app:1");
    assert.deepEqual(events, ['Pulled: Container image "app:1" already present on machine']);
    assert.equal(images.pulls, 0);
  });

  test("is pulled once for all who wait", async () => {
    images.registry.add("app:1");
    await Promise.all([ensure("app:1"), ensure("app:1", "IfNotPresent", "u-2")]);
    assert.equal(images.pulls, 1);
  });

  test("is never pulled against the policy", async () => {
    await assert.rejects(ensure("app:1", "Never"), reason("ErrImageNeverPull"));
  });

  test("is asked of the registry by Always, though it is there", async () => {
    images.present.add("app:1");
    await assert.rejects(ensure("app:1", "Always"), reason("ErrImagePull"));
  });

  test("that can't be pulled is tried again later and later", async () => {
    await assert.rejects(ensure("app:1"), reason("ErrImagePull"));
    await assert.rejects(ensure("app:1"), reason("ImagePullBackOff"));
    nowMs = 10_000;
    await assert.rejects(ensure("app:1"), reason("ErrImagePull"));
    nowMs = 29_000;
    await assert.rejects(ensure("app:1"), reason("ImagePullBackOff"));
    assert.ok(
      events.includes('Failed: Failed to pull image "app:1": rpc error: code = NotFound desc = not found'),
    );
    assert.ok(events.includes('BackOff: Back-off pulling image "app:1"'));
    assert.equal(images.pulls, 2);
  });

  test("whose pod goes away is still pulled for others", async () => {
    images.registry.add("app:1");
    let open = () => undefined as void;
    images.gate = new Promise((resolve) => {
      open = resolve;
    });
    const abort = new AbortController();
    const first = ensure("app:1", "IfNotPresent", "u-1", abort.signal);
    const second = ensure("app:1", "IfNotPresent", "u-2");
    const given = assert.rejects(first, /no longer wanted/);
    abort.abort();
    await given;
    open();
    await second;
    assert.equal(images.pulls, 1);
  });

  test("with an impossible name is refused", async () => {
    await assert.rejects(ensure("Not An Image"), reason("InvalidImageName"));
  });
});

test("credentials come from the secret that names the registry best", () => {
  const auths = {
    "https://r.example/v1/": { username: "a", password: "1" },
    "r.example/team": { username: "b", password: "2" },
    "other.example": { username: "c", password: "3" },
  };
  const data = { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") };
  const request = {
    pod: podOf({ imagePullSecrets: [{ name: "s" }] }),
    secret: () => ({ metadata: {}, data }),
  };
  assert.deepEqual(
    pullCredentials(request, "r.example/team/app:1").map((each) => each.username),
    ["b", "a"],
  );
  assert.deepEqual(
    pullCredentials(request, "r.example/app:1").map((each) => each.username),
    ["a"],
  );
  assert.deepEqual(
    pullCredentials(request, "busybox").map((each) => each.username),
    [],
  );
});
