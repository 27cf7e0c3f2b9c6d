/**
 * What the API says of objects that are wrong, kind by kind: a valid object, a change to it as a merge patch,
 * and the causes of the refusal in upstream's words. The recordings have the common mistakes; these are others.
 */
export interface Mistake {
  /** Collection, as in the path after the version. */
  of: string;
  /** Merged into the valid object before it is created, or with `update` into the stored one. */
  change: object;
  update?: boolean;
  subresource?: string;
  /** "field: message" of each cause, in order. Empty: the object is accepted. */
  says: readonly string[];
}

const labels = { app: "a" };
const podSpec = { containers: [{ name: "c", image: "i" }] };
const template = { metadata: { labels }, spec: podSpec };
const selector = { matchLabels: labels };

/** A valid object of each collection. */
export const valid: Readonly<Record<string, { path: string; object: Record<string, unknown> }>> = {
  pods: namespaced("/api/v1", "v1", "Pod", { spec: podSpec }),
  services: namespaced("/api/v1", "v1", "Service", { spec: { selector: labels, ports: [{ port: 80 }] } }),
  resourcequotas: namespaced("/api/v1", "v1", "ResourceQuota", { spec: { hard: { pods: "1" } } }),
  persistentvolumeclaims: namespaced("/api/v1", "v1", "PersistentVolumeClaim", {
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  }),
  persistentvolumes: cluster("/api/v1", "v1", "PersistentVolume", {
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      csi: { driver: "d.example.com", volumeHandle: "h" },
    },
  }),
  deployments: namespaced("/apis/apps/v1", "apps/v1", "Deployment", { spec: { selector, template } }),
  ingresses: namespaced("/apis/networking.k8s.io/v1", "networking.k8s.io/v1", "Ingress", {
    spec: { defaultBackend: { service: { name: "s", port: { number: 80 } } } },
  }),
  endpointslices: namespaced("/apis/discovery.k8s.io/v1", "discovery.k8s.io/v1", "EndpointSlice", {
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.1.1.1"] }],
  }),
  horizontalpodautoscalers: namespaced("/apis/autoscaling/v2", "autoscaling/v2", "HorizontalPodAutoscaler", {
    spec: { maxReplicas: 2, scaleTargetRef: { kind: "Deployment", name: "d" } },
  }),
  csinodes: cluster("/apis/storage.k8s.io/v1", "storage.k8s.io/v1", "CSINode", {
    spec: { drivers: [{ name: "d.example.com", nodeID: "n" }] },
  }),
};

function namespaced(
  prefix: string,
  apiVersion: string,
  kind: string,
  rest: object,
): { path: string; object: Record<string, unknown> } {
  return { path: `${prefix}/namespaces/default`, object: { apiVersion, kind, metadata: {}, ...rest } };
}

function cluster(
  prefix: string,
  apiVersion: string,
  kind: string,
  rest: object,
): { path: string; object: Record<string, unknown> } {
  return { path: prefix, object: { apiVersion, kind, metadata: {}, ...rest } };
}

const only = "may not be set for ExternalName services";
const subdomain =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

const pod = (spec: object): object => ({ spec });
const volume = (source: object): object => pod({ volumes: [{ name: "v", ...source }] });

export const mistakes: readonly Mistake[] = [
  // Pods
  {
    of: "pods",
    change: pod({ containers: [{ name: "c", image: " i" }] }),
    says: ['spec.containers[0].image: Invalid value: " i": must not have leading or trailing whitespace'],
  },
  {
    of: "pods",
    change: pod({
      initContainers: [
        { name: "a", image: "i" },
        { name: "b", image: "i", ports: [port("x"), port("y")] },
      ],
    }),
    says: ['spec.initContainers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
  },
  {
    of: "pods",
    change: pod({
      hostNetwork: true,
      hostIPC: true,
      securityContext: {
        sysctls: [
          { name: "net.ipv4.tcp_syncookies", value: "1" },
          { name: "kernel.shm_rmid_forced", value: "1" },
          { name: "kernel.hostname", value: "x" },
        ],
      },
    }),
    says: [
      "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.tcp_syncookies\": may not be specified when 'hostNetwork' is true",
      "spec.securityContext.sysctls[1].name: Invalid value: \"kernel.shm_rmid_forced\": may not be specified when 'hostIPC' is true",
    ],
  },
  {
    of: "pods",
    change: pod({
      securityContext: { windowsOptions: { gmsaCredentialSpecName: "A_", runAsUserName: "a\\b\\c" } },
    }),
    says: [
      `spec.securityContext.windowsOptions.gmsaCredentialSpecName: Invalid value: "A_": ${subdomain}`,
      'spec.securityContext.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash',
    ],
  },
  {
    of: "pods",
    change: volume({ fc: { targetWWNs: ["1"], lun: 256 } }),
    says: ["spec.volumes[0].fc.lun: Invalid value: 256: must be between 0 and 255, inclusive"],
  },
  {
    of: "pods",
    change: volume({ fc: {} }),
    says: [
      "spec.volumes[0].fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
    ],
  },
  {
    of: "pods",
    change: volume({ flocker: {} }),
    says: ["spec.volumes[0].flocker: Required value: one of datasetName and datasetUUID is required"],
  },
  {
    of: "pods",
    change: volume({ iscsi: { targetPortal: "p", iqn: "x", lun: 1 } }),
    says: [
      'spec.volumes[0].iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
    ],
  },
  {
    of: "pods",
    change: volume({ quobyte: { registry: "host", volume: "v" } }),
    says: [
      'spec.volumes[0].quobyte.registry: Invalid value: "host": must be a host:port pair or multiple pairs separated by commas',
    ],
  },
  {
    of: "pods",
    change: volume({ azureDisk: { diskName: "d", diskURI: "x", kind: "Other", cachingMode: "Some" } }),
    says: [
      'spec.volumes[0].azureDisk.cachingMode: Unsupported value: "Some": supported values: "None", "ReadOnly", "ReadWrite"',
      'spec.volumes[0].azureDisk.kind: Unsupported value: "Other": supported values: "Dedicated", "Managed", "Shared"',
      'spec.volumes[0].azureDisk.diskURI: Unsupported value: "x": supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"',
    ],
  },
  {
    of: "pods",
    subresource: "status",
    update: true,
    change: { status: { podIPs: [{ ip: "10.1.1.1" }, { ip: "x" }], nominatedNodeName: "A" } },
    says: [
      `status.nominatedNodeName: Invalid value: "A": ${subdomain}`,
      'status.podIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
  },
  {
    of: "pods",
    subresource: "status",
    update: true,
    change: { status: { podIPs: [{ ip: "10.1.1.1" }, { ip: "10.1.1.2" }] } },
    says: [
      'status.podIPs: Invalid value: []core.PodIP{core.PodIP{IP:"10.1.1.1"}, core.PodIP{IP:"10.1.1.2"}}: may specify no more than one IP for each IP family',
    ],
  },
  // Templates are laxer than pods in one respect, and as strict in others.
  {
    of: "deployments",
    change: { spec: { template: { spec: { containers: [{ name: "c", image: " i " }] } } } },
    says: [],
  },
  {
    of: "deployments",
    change: { spec: { template: { spec: { overhead: { gpus: "1" } } } } },
    says: [
      "spec.template.spec.overhead.limits[gpus]: Invalid value: gpus: must be a standard resource type or fully qualified",
      "spec.template.spec.overhead.limits[gpus]: Invalid value: gpus: must be a standard resource for containers",
    ],
  },
  // Services
  {
    of: "services",
    change: pod({
      type: "ExternalName",
      externalName: "a_.b.",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
    }),
    says: [
      `spec.ipFamilies: Forbidden: ${only}`,
      `spec.ipFamilyPolicy: Forbidden: ${only}`,
      `spec.externalName: Invalid value: "a_.b": ${subdomain}`,
    ],
  },
  {
    of: "services",
    change: pod({ ipFamilyPolicy: "Many", ipFamilies: ["IPv4", "IPv4"] }),
    says: [
      'spec.ipFamilies[1]: Duplicate value: "IPv4"',
      'spec.ipFamilyPolicy: Unsupported value: "Many": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
    ],
  },
  {
    of: "services",
    change: pod({ ipFamilyPolicy: "RequireDualStack" }),
    says: [
      'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
    ],
  },
  {
    of: "services",
    change: pod({ ipFamilies: ["IPv6"] }),
    says: ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
  },
  {
    of: "services",
    change: pod({ clusterIP: "10.96.0.9", clusterIPs: ["10.96.0.8"] }),
    says: ['spec.clusterIPs: Invalid value: []string{"10.96.0.8"}: first value must match `clusterIP`'],
  },
  {
    of: "services",
    change: pod({
      type: "NodePort",
      ports: [
        { name: "a", port: 1, nodePort: 30001 },
        { name: "b", port: 2, nodePort: 30001 },
      ],
    }),
    says: ["spec.ports[1].nodePort: Duplicate value: 30001"],
  },
  {
    of: "services",
    subresource: "status",
    update: true,
    change: { status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } },
    says: ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
  },
  {
    of: "ingresses",
    subresource: "status",
    update: true,
    change: { status: { loadBalancer: { ingress: [{ ip: "x" }, { hostname: "192.0.2.1" }] } } },
    says: [
      'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      'status.loadBalancer.ingress[1].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address',
    ],
  },
  {
    of: "endpointslices",
    change: {
      endpoints: [
        {
          addresses: ["10.1.1.1"],
          hints: { forZones: "abcdefghi".split("").map((name) => ({ name })) },
        },
      ],
    },
    says: ["endpoints[0].hints.forZones: Too many: 9: must have at most 8 items"],
  },
  // Quotas
  {
    of: "resourcequotas",
    change: pod({ hard: { pods: null, storage: "1", "made-up": "1" } }),
    says: [
      "spec.hard[made-up]: Invalid value: made-up: must be a standard resource type or fully qualified",
      "spec.hard[made-up]: Invalid value: made-up: must be a standard resource for quota",
      "spec.hard[storage]: Invalid value: storage: must be a standard resource for quota",
    ],
  },
  {
    of: "resourcequotas",
    change: pod({ hard: { cpu: "1" }, scopes: ["BestEffort", "NotBestEffort"] }),
    says: [
      'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort", "NotBestEffort"}: unsupported scope applied to resource',
      'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort", "NotBestEffort"}: conflicting scopes',
    ],
  },
  {
    of: "resourcequotas",
    change: pod({
      scopeSelector: { matchExpressions: [{ scopeName: "Terminating", operator: "In", values: ["x"] }] },
    }),
    says: [
      "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
    ],
  },
  {
    of: "resourcequotas",
    subresource: "status",
    update: true,
    change: { status: { hard: { pods: "-1" } } },
    says: ['status.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
  },
  // Storage
  {
    of: "persistentvolumes",
    update: true,
    change: pod({ csi: { controllerExpandSecretRef: { name: "s", namespace: "n" } } }),
    says: [],
  },
  {
    of: "persistentvolumeclaims",
    subresource: "status",
    update: true,
    change: { status: { capacity: { storage: "-1" } } },
    says: ['status.capacity[storage]: Invalid value: "-1": must be greater than or equal to 0'],
  },
  {
    of: "csinodes",
    update: true,
    change: pod({ drivers: [{ name: "d.example.com", nodeID: "other" }] }),
    says: [
      'CSINodeDriver: Invalid value: storage.CSINodeDriver{Name:"d.example.com", NodeID:"other", TopologyKeys:[]string(nil), Allocatable:(*storage.VolumeNodeResources)(nil)}: field is immutable',
    ],
  },
  {
    of: "horizontalpodautoscalers",
    subresource: "status",
    update: true,
    change: { status: { desiredReplicas: -1 } },
    says: ["status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0"],
  },
];

function port(name: string): object {
  return { name, containerPort: 80, hostPort: 80 };
}
