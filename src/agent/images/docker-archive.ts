/**
 * Images as docker archives: one layer, a configuration and a manifest in a tar, made in memory. The
 * same input gives the same bytes, so that an image that is already there is known by its digest.
 */
import { createHash } from "node:crypto";
import { pack } from "tar-stream";
import type { Architecture } from "./elf.ts";

export interface LayerEntry {
  path: string;
  type: "file" | "directory" | "symlink";
  mode?: number;
  data?: Uint8Array | string;
  linkTarget?: string;
}

export interface ImageDescription {
  /** Full reference, for example "trivet.local/pause:1". */
  name: string;
  architecture: Architecture;
  entries: readonly LayerEntry[];
  config: {
    Entrypoint?: string[];
    Cmd?: string[];
    Env?: string[];
    WorkingDir?: string;
    User?: string;
    ExposedPorts?: Record<string, object>;
  };
}

export async function dockerArchive(image: ImageDescription): Promise<Buffer> {
  const layer = await tar(image.entries);
  const digest = sha256(layer);
  const config = JSON.stringify({
    architecture: image.architecture,
    os: "linux",
    created: epoch.toISOString(),
    config: image.config,
    rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
    history: [{ created: epoch.toISOString(), created_by: "trivet" }],
  });
  const configName = `${sha256(Buffer.from(config))}.json`;
  const layerName = `${digest}/layer.tar`;
  const manifest = [{ Config: configName, RepoTags: [image.name], Layers: [layerName] }];
  return tar([
    { path: configName, type: "file", data: config },
    { path: layerName, type: "file", data: layer },
    { path: "manifest.json", type: "file", data: JSON.stringify(manifest) },
  ]);
}

const epoch = new Date(0);

async function tar(entries: readonly LayerEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const { path, type, mode, data, linkTarget } of entries) {
    const header = {
      name: path,
      type,
      mode: mode ?? (type === "directory" ? 0o755 : 0o644),
      mtime: epoch,
      uid: 0,
      gid: 0,
      ...(linkTarget === undefined ? {} : { linkname: linkTarget }),
    };
    if (type === "file") archive.entry(header, Buffer.from(data ?? ""));
    else archive.entry(header);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
