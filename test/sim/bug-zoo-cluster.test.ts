import t from 'tap';
import { clusterZoo } from './bug-zoo-cluster.ts';
import { huntInCluster } from './support/breed.ts';

t.setTimeout(120_000);
huntInCluster(t, clusterZoo);
