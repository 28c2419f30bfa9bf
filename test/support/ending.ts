/** A test, as far as helpers need it that clean up after themselves. */
export interface Ending {
  teardown(action: () => unknown): unknown;
}
