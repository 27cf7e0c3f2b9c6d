/**
 * A conversion webhook for tests: Endpoints of example.com, whose v1 has `spec.host` and `spec.port` and
 * whose v2 has `spec.address`, "host:port". And the definition that calls it.
 */
import https from "node:https";
import type { AddressInfo } from "node:net";
import { createAuthority, issue } from "#cluster/certificates.ts";
import type { KubeObject } from "#kinds/object.ts";

interface Review {
  apiVersion: string;
  kind: string;
  request: { uid: string; desiredAPIVersion: string; objects: KubeObject[] };
}

type Answer = Record<string, unknown>;

export interface ConversionServer {
  port: number;
  caBundle: string;
  /** Each review's desired version and number of objects. */
  readonly reviews: { desired: string; count: number }[];
  /** Changes what is answered. */
  answer: (response: Answer, review: Review) => unknown;
  close(): void;
}

/** Listens on loopback with a certificate for the Service `hook` in `default`, and for the address. */
export async function startConversionServer(): Promise<ConversionServer> {
  const authority = await createAuthority("webhooks", 1);
  const identity = await issue(authority, {
    commonName: "hook",
    hosts: ["hook.default.svc", "127.0.0.1"],
    usages: ["server"],
    validDays: 1,
  });
  const reviews: ConversionServer["reviews"] = [];
  const server = https.createServer(
    { key: identity.key, cert: identity.certificate },
    (request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const review = JSON.parse(Buffer.concat(parts).toString("utf8")) as Review;
        const { uid, desiredAPIVersion, objects } = review.request;
        reviews.push({ desired: desiredAPIVersion, count: objects.length });
        const answer: unknown = running.answer(
          {
            uid,
            result: { status: "Success" },
            convertedObjects: objects.map((each) => convert(each, desiredAPIVersion)),
          },
          review,
        );
        if (answer === undefined) return;
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ apiVersion: review.apiVersion, kind: review.kind, response: answer }));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const running: ConversionServer = {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(authority.certificate).toString("base64"),
    reviews,
    answer: (response) => response,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  return running;
}

function convert(object: KubeObject, desired: string): KubeObject {
  const spec = object["spec"] as { host?: string; port?: number; address?: string };
  const [host = "", port = "0"] = (spec.address ?? "").split(":");
  return {
    ...object,
    apiVersion: desired,
    spec: desired.endsWith("/v2")
      ? { address: `${spec.host ?? ""}:${spec.port ?? 0}` }
      : { host, port: Number(port) },
  };
}

/** The definition; `storage` is the version that is stored. */
export function convertedDefinition(
  clientConfig: Record<string, unknown>,
  storage: "v1" | "v2" = "v1",
): KubeObject {
  const version = (name: string, properties: Record<string, unknown>, field: string) => ({
    name,
    served: true,
    storage: name === storage,
    subresources: { status: {} },
    selectableFields: [{ jsonPath: `.spec.${field}` }],
    schema: {
      openAPIV3Schema: {
        type: "object",
        properties: {
          spec: { type: "object", properties },
          status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
        },
      },
    },
  });
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "addresses.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "addresses", singular: "address", kind: "Address", listKind: "AddressList" },
      versions: [
        version("v1", { host: { type: "string" }, port: { type: "integer" } }, "host"),
        version("v2", { address: { type: "string" } }, "address"),
      ],
      conversion: { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } },
    },
  };
}
