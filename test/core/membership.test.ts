import t from 'tap';
import { Trio } from './trio.ts';

t.test('a voter that is named twice is one voter', async (t) => {
  const trio = new Trio(false);
  const leader = trio.lead();
  const { members } = leader.config;
  const target = { voters: [1, 2, 2, 3, 2], learners: [4, 4, 2], members };
  t.type(leader.proposeConfig(target, leader.configIndex), 'number');
  t.match(leader.config, { voters: [1, 2, 3], outgoing: [1, 2, 3], learners: [4] });
  t.equal(leader.config.voters.length, 3);
});
