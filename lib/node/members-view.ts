import { isVoter } from '../core/quorum.ts';
import type { Driver } from './driver.ts';
import { isLive } from './liveness.ts';
import type { MembersView, MemberView } from './types.ts';

/** The members, as this node knows them. The leader knows best. */
export function membersOf(driver: Driver, clusterId: string): MembersView {
  const { core, options, transport } = driver;
  const { config } = core;
  return {
    clusterId,
    leader: core.leader === 0 ? null : core.leader,
    configIndex: core.configIndex,
    /** Not committed, or joint: a change is under way. */
    changing: config.outgoing.length > 0 || core.configIndex > core.commitIndex,
    members: config.members.map(({ id, peerAddress, incarnation }): MemberView => {
      const own = id === options.id;
      return {
        id,
        kind: isVoter(config, id) ? 'voter' : 'learner',
        peerAddress,
        clientAddress: own ? options.clientAddress || null : (transport.clientAddress(id) ?? null),
        incarnation: incarnation ?? null,
        leader: id === core.leader,
        live: isLive(driver, id),
        match: own ? core.durableIndex : (core.progressOf(id)?.match ?? null),
      };
    }),
    retired: config.retired ?? [],
  };
}
