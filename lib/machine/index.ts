export type { ApplyMeta, SnapshotView, StateMachine } from './state-machine.ts';
export { StackMachine, defaultStackLimits } from './stack-machine.ts';
export type { StackLimits } from './stack-machine.ts';
