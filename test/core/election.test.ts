import t from 'tap';
import type { Message } from '../../lib/core/types.ts';
import { Trio } from './trio.ts';

t.test(
  'a candidate whose votes are under way helps no rival to depose it (test/node/disk-full)',
  async (t) => {
    const trio = new Trio(false);
    const one = trio.core(1);
    one.campaignSoon();
    trio.now += 20;
    trio.turn(1);
    one.receive(2, { kind: 'voteResponse', term: 1, pre: true, granted: true });
    trio.turn(1);
    t.equal(one.role, 'candidate');

    const asked = (): boolean => {
      trio.queue = [];
      const question: Message = {
        ...{ kind: 'voteRequest', term: 2, pre: true },
        ...{ lastIndex: 0, lastTerm: 0, transfer: false },
      } as const;
      one.receive(2, question);
      trio.turn(1);
      const [answer] = trio.queue.filter(({ to, message }) => to === 2 && message.kind === 'voteResponse');
      return (answer?.message as { granted: boolean }).granted;
    };
    t.equal(asked(), false);
    trio.now += 8;
    trio.turn(1);
    t.equal(asked(), true, 'its votes are split, most likely: the other may try');

    trio.queue = [];
    one.receive(3, { kind: 'voteResponse', term: 1, pre: false, granted: true });
    trio.turn(1);
    t.equal(one.role, 'leader');
  },
);
