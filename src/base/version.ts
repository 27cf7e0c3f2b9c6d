/** The one place that knows versions. */

/** Trivet's own version. */
export const version = "0.1.0";

/** The level of the Kubernetes API that Trivet serves, with Trivet's version as build metadata. */
export const kubernetesVersion = `v1.32.13+trivet.${version}`;
