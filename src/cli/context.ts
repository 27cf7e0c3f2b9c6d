/** What every command is given: where it writes, which Trivet it belongs to, and what `main` lends it. */
import type { DatastoreFlags } from "./datastore.ts";
import type { Progress } from "./progress.ts";

export interface ServeOptions {
  dataDir: string;
  components: readonly string[];
  /** Only with components "api": port of the API server; 0 for any free one. */
  port?: number;
  serviceCidr?: string;
  /** Serve the etcd API: true, or its port. */
  etcdApi?: string | true;
  external?: DatastoreFlags;
  /** For a data directory that holds no node yet: serve makes a new cluster there. */
  name?: string;
  address?: string;
  failureDomain?: string;
  /** Default 3. */
  voters?: number;
}

/** Rooms that the command line may not import: `main` puts them in. */
export interface Hooks {
  /** Runs the node in the foreground; resolves when it has stopped. */
  serve(options: ServeOptions): Promise<void>;
  images: {
    /** Imports a docker or OCI archive; returns the names of its images. */
    importArchive(dataDir: string, file: string): Promise<string[]>;
    exportArchive(dataDir: string, file: string, names: string[]): Promise<void>;
    list(dataDir: string): Promise<{ name: string; sizeBytes: number }[]>;
    remove(dataDir: string, names: string[]): Promise<void>;
  };
  /** Ends what a node leaves behind: containers, interfaces, rules, cgroups. For `reset` and `leave`. */
  cleanUp(dataDir: string, report: (detail: string) => void): Promise<void>;
}

export interface CommandContext {
  /** Path of ./trivet. */
  launcher: string;
  version: string;
  hooks: Hooks;
  progress: Progress;
  /** Writes to standard output. */
  print(text: string): void;
}

export const defaultDataDir = "/var/lib/trivet";
