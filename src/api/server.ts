/**
 * The Kubernetes API server over a `Backend`: puts the parts together and owns their lifetimes. One
 * handler serves in-process callers and the network alike.
 */
import { assert } from "#base/assert.ts";
import { exposition } from "#base/exposition.ts";
import type { HttpHandler, HttpRoute } from "#base/http.ts";
import type { ExtensionResource } from "#kinds/extension.ts";
import type { AnyKind } from "#kinds/kind.ts";
import { AdmissionChain } from "./admission/admission.ts";
import { admissionPlugins } from "./admission/chain.ts";
import { timestamp } from "./api-core.ts";
import type { ApiCore } from "./api-core.ts";
import { mastersAuthorizer, unionAuthorizer } from "./auth/authorizer.ts";
import type { Authorizer } from "./auth/authorizer.ts";
import { Authenticator } from "./auth/authenticate.ts";
import { NodeAuthorizer } from "./auth/node-authorizer.ts";
import { RbacAuthorizer } from "./auth/rbac.ts";
import { ServiceAccountTokens } from "./auth/service-account-tokens.ts";
import { Bootstrap } from "./bootstrap/bootstrap.ts";
import { apiServices } from "./bootstrap/api-services.ts";
import { flowSchemas, priorityLevels } from "./bootstrap/flow-control.ts";
import { rbacObjects } from "./bootstrap/rbac.ts";
import { KubernetesEndpoints } from "./bootstrap/kubernetes-endpoints.ts";
import { kubernetesService, priorityClasses } from "./bootstrap/system-objects.ts";
import { WatchHub } from "./cache/watch-hub.ts";
import { convertedKinds, keyOfKind } from "./conversions.ts";
import { CustomResources } from "./custom/custom-resources.ts";
import { withExpressionErrors } from "./admission/expression-kinds.ts";
import { definitionKind } from "./custom/definition-strategy.ts";
import { DiscoveryPages } from "./discovery/pages.ts";
import { Dispatcher } from "./dispatcher.ts";
import { listen } from "./listener/listener.ts";
import type { Listener } from "./listener/listener.ts";
import { RequestMeter } from "./metrics/request-meter.ts";
import { serverFamilies } from "./metrics/server-families.ts";
import type { ApiServerOptions, ListenOptions } from "./options.ts";
import { serveOpenApi } from "./openapi/handler.ts";
import { OpenApiPublisher } from "./openapi/publisher.ts";
import { ResourceRegistry } from "./registry.ts";
import { StartUp } from "./start-up.ts";
import { storedOf } from "./rest/stored.ts";
import { ServiceAddresses } from "./services/addresses.ts";
import { ObjectStore } from "./storage/object-store.ts";
import { AgentProxy } from "./subresources/node-agent.ts";
import { serveUpgrade } from "./listener/upgrade.ts";
import { specialHandlers } from "./subresources/handlers.ts";
import { WebhookClient } from "./webhooks/webhook-client.ts";

export interface ApiServer {
  /** Serves requests without a socket. `request.user` says who calls. */
  readonly handler: HttpHandler;
  readonly registry: ResourceRegistry;
  /** Resolves once caches are loaded and the cluster's first objects exist. Requests wait for it. */
  ready(): Promise<void>;
  /** Listens at once, so that a node without a datastore can say so. Starts the server if `ready` has not. */
  listen(options: ListenOptions): Promise<Listener>;
  /** Serves a subtree beside the Kubernetes API from now on, until the returned function is called. */
  addRoute(route: HttpRoute): () => void;
  /** Serves resources that another room computes, likewise. */
  addResources(resources: readonly ExtensionResource[]): () => void;
  close(): Promise<void>;
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { backend, clock, random, logger } = options;
  const hub = new WatchHub({ backend, clock, logger });
  const registry = new ResourceRegistry(hub);
  addKinds(registry, options.kinds);
  const rbac = new RbacAuthorizer(registry);
  const authorizer: Authorizer = unionAuthorizer([mastersAuthorizer, new NodeAuthorizer(registry), rbac]);
  const tokens = new ServiceAccountTokens({ keys: options.serviceAccounts, registry, clock, random });
  const store = new ObjectStore(backend, hub);
  const core: ApiCore = {
    backend,
    clock,
    random,
    logger,
    hub,
    registry,
    store,
    admission: new AdmissionChain(admissionPlugins({ registry, hub, random, rbac, authorizer, store })),
    authorizer,
    meter: new RequestMeter(),
  };
  const authenticator = new Authenticator(tokens, options.authenticateToken);
  const agents = new AgentProxy(options.agentDialer);
  let listener: Listener | undefined;
  const openApi = new OpenApiPublisher({ kinds: () => registry.all(), version: "1.32", clock });
  registry.onChange(() => openApi.invalidate());
  const discovery = new DiscoveryPages({
    registry,
    hub,
    tokens,
    address: () => {
      const known =
        options.advertise ??
        (listener === undefined
          ? undefined
          : { address: listener.address.host, port: listener.address.port });
      return known === undefined ? "" : `${known.address}:${known.port}`;
    },
    metrics: async () => {
      const { inFlight } = dispatcher;
      const own = serverFamilies({ meter: core.meter, registry, inFlight, revision: hub.revision });
      return exposition(own) + ((await options.moreMetrics?.()) ?? "");
    },
    openApi: async (request) => serveOpenApi(openApi, request.http),
  });
  const dispatcher: Dispatcher = new Dispatcher({
    core,
    authenticator,
    discovery,
    special: specialHandlers({ tokens, authenticator, rbac, agents }),
    whenStarted: () => startUp.whenDone(),
    maxInFlight: options.maxInFlight ?? { reading: 400, writing: 200 },
  });
  for (const route of options.extraRoutes ?? []) dispatcher.addRoute(route);
  const addresses = new ServiceAddresses({
    serviceCidr: options.serviceCidr,
    nodePorts: options.nodePorts ?? { first: 30000, last: 32767 },
    random,
    services: () => storedOf(registry.builtIn("", "services")).cache,
  });
  registry.builtIn("", "services").companions = (object, old, dryRun) =>
    object === undefined
      ? { compare: [], operations: old === undefined ? [] : addresses.release(old) }
      : addresses.reserve(object, old, dryRun);
  const handler: HttpHandler = (request) => dispatcher.handle(request);
  const webhooks = new WebhookClient(registry);
  const customResources = new CustomResources({
    registry,
    hub,
    handler,
    webhooks,
    clock,
    random,
    logger,
  });
  let endpoints: KubernetesEndpoints | undefined;
  const bootstrap = new Bootstrap({ handler, registry, logger });
  const firstObjects = async (): Promise<void> => {
    await bootstrap.createNamespaces();
    await Promise.all(rbacObjects().map((each) => bootstrap.createMissing(each)));
    const now = timestamp(clock.nowMs());
    const builtIn = [...registry.all()].filter((each) => !each.custom).map((each) => each.kind);
    const others = [priorityClasses(), priorityLevels(), flowSchemas(now), apiServices(builtIn, now)];
    await Promise.all(others.map((each) => bootstrap.createMissing(each)));
    await bootstrap.createMissing(kubernetesService(addresses.at(1), options.advertise?.port ?? 6443));
  };
  const startUp = new StartUp({
    clock,
    logger,
    steps: [
      () => hub.start(),
      () => customResources.start(),
      ...(options.bootstrap === false ? [] : [firstObjects]),
    ],
  });
  return {
    handler: async (request) => {
      await startUp.done();
      return handler(request);
    },
    registry,
    ready: () => startUp.done(),
    async listen(listenOptions) {
      listener = await listen(listenOptions, {
        handle: (request, peer) => dispatcher.handle(request, peer),
        upgrade: (request, peer, socket, head) => {
          void serveUpgrade({ core, dispatcher, agents }, request, peer, { socket, head });
        },
      });
      if (options.bootstrap !== false) {
        const own = options.advertise ?? { address: listener.address.host, port: listener.address.port };
        endpoints = new KubernetesEndpoints({ backend, handler, clock, logger, own });
        startUp.done().then(
          () => endpoints?.start(),
          () => undefined,
        );
      }
      return listener;
    },
    addRoute: (route) => dispatcher.addRoute(route),
    addResources: (resources) => addResources(registry, resources),
    async close() {
      startUp.close();
      endpoints?.close();
      customResources.close();
      webhooks.close();
      openApi.close();
      hub.close();
      await listener?.close();
    },
  };
}

function addKinds(registry: ResourceRegistry, builtIn: readonly AnyKind[]): void {
  const kinds = builtIn.map((each) =>
    each.plural === "customresourcedefinitions" ? definitionKind(each) : withExpressionErrors(each),
  );
  const byKey = new Map(kinds.map((kind) => [keyOfKind(kind), kind]));
  for (const kind of kinds) {
    const converted = convertedKinds[keyOfKind(kind)];
    if (converted === undefined) registry.add(kind);
    else {
      const storage = byKey.get(converted.storage);
      registry.add(kind, storage === undefined ? {} : { storage, conversion: converted.conversion });
    }
  }
}

function addResources(registry: ResourceRegistry, resources: readonly ExtensionResource[]): () => void {
  for (const extension of resources) {
    const { kind, schema } = extension;
    assert(kind.stored === false, "computed resources are not stored");
    registry.add(kind, { custom: true, schema, extension });
  }
  return () => {
    for (const { kind } of resources) registry.remove(kind.group, kind.version, kind.plural);
  };
}
