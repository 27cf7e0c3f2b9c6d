/**
 * The shell of network policies: follows the policies, and, from the first one on, the pods and namespaces
 * of the whole cluster, of which it keeps only what selectors look at. A cluster without policies pays nothing.
 */
import type { Clock, Logger } from "#base/ports.ts";
import { createInformer } from "#client/informer.ts";
import type { Client, Informer } from "#client/types.ts";
import type { RunCommand } from "./command.ts";
import { compilePolicies } from "./compile-policies.ts";
import type { PolicyNode } from "./compile-policies.ts";
import { resources } from "./objects.ts";
import type { Namespace, NetworkPolicy, Pod } from "./objects.ts";
import { Reconciler } from "./reconciler.ts";
import { RulesetApplier } from "./ruleset-applier.ts";

export interface PoliciesOptions {
  client: Client;
  node: PolicyNode;
  clock: Clock;
  logger: Logger;
  run: RunCommand;
}

export function startPolicies(options: PoliciesOptions): { close(): Promise<void> } {
  const { client, clock, logger, node, run } = options;
  const applier = new RulesetApplier(run, logger);
  const policies = createInformer<NetworkPolicy>({
    client,
    clock,
    logger,
    resource: resources.networkPolicies,
  });
  let subjects: { pods: Informer<Pod>; namespaces: Informer<Namespace> } | undefined;

  const reconciler = new Reconciler(
    { name: "network policies", clock, logger, gatherMs: 20, resyncMs: 30_000 },
    async () => {
      if (!policies.synced || subjects === undefined) return;
      const { pods, namespaces } = subjects;
      if (!pods.synced || !namespaces.synced) return;
      await applier.apply(compilePolicies(policies.list(), pods.list(), namespaces.list(), node));
    },
  );
  const trigger = () => reconciler.trigger();

  function followSubjects(): void {
    if (subjects !== undefined) return;
    const common = { client, clock, logger };
    const pods = createInformer<Pod>({ ...common, resource: resources.pods, transform: essentialPod });
    const namespaces = createInformer<Namespace>({ ...common, resource: resources.namespaces });
    subjects = { pods, namespaces };
    pods.onChange((pod, old) => {
      if (JSON.stringify(pod && essence(pod)) !== JSON.stringify(old && essence(old))) trigger();
    });
    namespaces.onChange(trigger);
    // Rejected only when it is stopped before.
    Promise.all([pods.whenSynced(), namespaces.whenSynced()]).then(trigger, () => {});
  }

  policies.onChange(() => {
    followSubjects();
    trigger();
  });

  return {
    async close() {
      policies.stop();
      subjects?.pods.stop();
      subjects?.namespaces.stop();
      await reconciler.close();
    },
  };
}

function essence({ metadata, spec, status }: Pod): unknown[] {
  return [metadata.labels, spec?.nodeName, status?.phase, status?.podIP];
}

function essentialPod({ metadata, spec, status }: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels } = metadata;
  return {
    metadata: { name, namespace, uid, resourceVersion, labels },
    spec: {
      nodeName: spec?.nodeName,
      hostNetwork: spec?.hostNetwork,
      containers: (spec?.containers ?? []).map((each) => ({ name: each.name, ports: each.ports })),
    },
    status: { phase: status?.phase, podIP: status?.podIP },
  } as Pod;
}
