/** The simulator: whole clusters in one thread over virtual time, and checkers for what their clients saw. */
export { simulate, type Replica, type SimulateOptions, type SimulateResult } from './simulate.ts';
export { Simulation, type SimClientOptions, type SimulationOptions } from './simulation.ts';
export type { SimNode } from './sim-node.ts';
export type { DiskFault } from './sim-storage.ts';
export type { Place, SimNetwork } from './sim-network.ts';
export type { EventQueue } from './event-queue.ts';
export type { Random } from '../core/random.ts';
export type { VersionRange } from '../../protocol/constants.ts';
export { fairWeather, type Weather } from './weather.ts';
export { SafetyViolation } from './core-checker.ts';
export { checkLinearizable, type Operation, type SequentialModel, type Verdict } from './linearizability.ts';
export { stackModel, type StackInput, type StackOutput, type StackState } from './stack-model.ts';
export { stackChaos, type StackChaosOptions, type StackChaosResult } from './stack-chaos.ts';
export { coreChaos, type CoreChaosResult } from './core-chaos.ts';
export { faultNames, type FaultName } from './nemesis.ts';
export type { Actor, ClusterStoryResult } from './cluster-story.ts';
export { shrink, type Shrunk } from './shrink.ts';
export { StoryFailure, type StoryOptions } from './story.ts';
