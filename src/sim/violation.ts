/** A guarantee that was broken: what a simulation is there to find. */
export class Violation extends Error {
  override name = "Violation";
}
