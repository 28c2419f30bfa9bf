// A machine of one's own in the simulator: whole clusters in this process, under every fault there is, in virtual time.
import assert from 'node:assert';
import { CommandError, defineMachine } from 'cordwood';
import { simulate } from 'cordwood/testing';

/** Accounts with 100 each; money is moved, and never made. */
const bank = () =>
  defineMachine({
    name: 'bank',
    version: 1,
    initial: () => ({ accounts: [100, 100, 100] }),
    apply({ accounts }, { from, to, amount }) {
      if (!(accounts[from] >= amount)) throw new CommandError('not enough');
      accounts[from] -= amount;
      return (accounts[to] += amount);
    },
    query: ({ accounts }) => accounts,
  });

const { seeds, simulatedMs, faults } = await simulate({
  machine: bank,
  seeds: 20,
  step: ({ client, dice }) => {
    const any = () => Math.floor(dice.next() * 3);
    return client.send({ from: any(), to: any(), amount: Math.floor(dice.next() * 50) });
  },
  invariant: ({ ask }) =>
    assert.equal(
      ask('all').reduce((sum, balance) => sum + balance),
      300,
    ),
});
console.log(`${seeds} runs without a fault in the bank`); // 20 runs without a fault in the bank
console.log(simulatedMs > 20_000, faults.get('power loss') > 0); // true true
