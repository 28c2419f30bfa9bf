// A closed loop of setData against ZooKeeper with its own client, asynchronously.
// Built by zookeeper.ts against Debian's jar; prints "begin", "end" and one line of JSON.

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.zookeeper.AsyncCallback.StatCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

public final class ZookeeperLoad {
  // Nothing is ever deleted from ZooKeeper by itself, and all of it lies in memory: so the writes go round znodes made
  // beforehand. With many more of them its snapshots grow, which would only make it slower.
  private static final int ZNODES = 1000;
  private static final String ROOT = "/bench";
  private static final int SESSION_TIMEOUT_MS = 20_000;
  private static final int CONNECT_TIMEOUT_S = 20;
  private static final int DRAIN_TIMEOUT_S = 60;

  private static final AtomicLong numbers = new AtomicLong();
  private static volatile boolean measuring;
  private static volatile boolean stopped;
  private static CountDownLatch running;
  private static byte[] padding;

  public static void main(String[] words) throws Exception {
    Map<String, String> flags = new HashMap<>();
    for (String word : words) {
      String[] pair = word.split("=", 2);
      flags.put(pair[0], pair[1]);
    }
    int outstanding = Integer.parseInt(flags.get("-outstanding"));
    int sessionCount = Integer.parseInt(flags.get("-connections"));
    padding = "-".repeat(Integer.parseInt(flags.get("-value-bytes"))).getBytes(StandardCharsets.US_ASCII);
    running = new CountDownLatch(outstanding);

    Session[] sessions = new Session[sessionCount];
    for (int i = 0; i < sessionCount; i++) {
      sessions[i] = new Session(flags.get("-endpoint"));
    }
    long versionsBefore = prepare(sessions[0].client);
    for (int slot = 0; slot < outstanding; slot++) {
      sessions[slot % sessionCount].next();
    }
    pause(flags.get("-warm"));
    System.out.println("begin");
    long cpuBefore = cpuNs();
    long began = System.nanoTime();
    measuring = true;
    pause(flags.get("-secs"));
    measuring = false;
    long elapsed = System.nanoTime() - began;
    long cpu = cpuNs() - cpuBefore;
    System.out.println("end");
    stopped = true;
    if (!running.await(DRAIN_TIMEOUT_S, TimeUnit.SECONDS)) {
      fail("the last writes are not answered");
    }
    long written = versions(sessions[0].client) - versionsBefore;
    if (written != numbers.get()) {
      fail(numbers.get() + " writes were acknowledged, but the versions of the znodes tell of " + written);
    }
    Latencies all = new Latencies();
    for (Session session : sessions) {
      all.merge(session.latencies);
      session.client.close();
    }
    System.out.printf(
        Locale.ROOT,
        "{\"operations\":%d,\"elapsedMs\":%f,\"cpuMs\":%f,"
            + "\"p50Ms\":%f,\"p99Ms\":%f,\"p999Ms\":%f,\"maxMs\":%f}%n",
        all.total, elapsed / 1e6, cpu / 1e6,
        all.percentileMs(0.5), all.percentileMs(0.99), all.percentileMs(0.999), all.maxNs / 1e6);
  }

  private static String pathOf(long number) {
    return ROOT + "/" + number % ZNODES;
  }

  /** Makes sure that the znodes exist and returns how often they have been written. */
  private static long prepare(ZooKeeper client) throws Exception {
    create(client, ROOT);
    for (int i = 0; i < ZNODES; i++) {
      create(client, pathOf(i));
    }
    return versions(client);
  }

  private static void create(ZooKeeper client, String path) throws Exception {
    try {
      client.create(path, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    } catch (KeeperException.NodeExistsException error) {
      // Made by an earlier run.
    }
  }

  /** Each setData adds one to the version of its znode. */
  private static long versions(ZooKeeper client) throws Exception {
    long sum = 0;
    for (int i = 0; i < ZNODES; i++) {
      sum += client.exists(pathOf(i), false).getVersion();
    }
    return sum;
  }

  private static long cpuNs() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  private static void pause(String seconds) throws InterruptedException {
    Thread.sleep(Math.round(Double.parseDouble(seconds) * 1000));
  }

  private static void fail(String why) {
    System.err.println("zookeeper: " + why);
    // Other threads would keep the process alive.
    Runtime.getRuntime().halt(1);
  }

  private static final class Session {
    final ZooKeeper client;
    // All callbacks of a session run on its one event thread, so this needs no lock.
    final Latencies latencies = new Latencies();

    Session(String endpoint) throws Exception {
      CountDownLatch connected = new CountDownLatch(1);
      Watcher watcher = event -> {
        if (event.getState() == KeeperState.SyncConnected) {
          connected.countDown();
        }
      };
      client = new ZooKeeper(endpoint, SESSION_TIMEOUT_MS, watcher);
      if (!connected.await(CONNECT_TIMEOUT_S, TimeUnit.SECONDS)) {
        fail("no session with " + endpoint);
      }
    }

    void next() {
      long number = numbers.incrementAndGet();
      byte[] value = padding.clone();
      long rest = number;
      for (int i = Math.min(value.length, 12) - 1; i >= 0; i--, rest /= 10) {
        value[i] = (byte) ('0' + rest % 10);
      }
      client.setData(pathOf(number), value, -1, ended, System.nanoTime());
    }

    private final StatCallback ended = (int code, String path, Object began, Stat stat) -> {
      if (code != KeeperException.Code.OK.intValue()) {
        fail(KeeperException.Code.get(code) + " for " + path);
      }
      if (measuring) {
        latencies.record(System.nanoTime() - (Long) began);
      }
      if (stopped) {
        running.countDown();
      } else {
        next();
      }
    };
  }

  /** Counts per class of at most 1.6 % of the value, as in bench/support/histogram.ts. */
  private static final class Latencies {
    private static final int SUB_BITS = 6;
    private static final int SUB = 1 << SUB_BITS;
    private final long[] counts = new long[SUB * 64];
    long total;
    long maxNs;

    void record(long ns) {
      int shift = Math.max(0, 63 - Long.numberOfLeadingZeros(ns | 1) - SUB_BITS);
      counts[shift * SUB + (int) (ns >>> shift)]++;
      total++;
      maxNs = Math.max(maxNs, ns);
    }

    void merge(Latencies other) {
      for (int i = 0; i < counts.length; i++) {
        counts[i] += other.counts[i];
      }
      total += other.total;
      maxNs = Math.max(maxNs, other.maxNs);
    }

    double percentileMs(double share) {
      long rank = Math.max(1, (long) Math.ceil(total * share));
      long seen = 0;
      for (int at = 0; at < counts.length; at++) {
        seen += counts[at];
        if (seen >= rank) {
          int shift = Math.max(0, (at >>> SUB_BITS) - 1);
          double middleNs = ((double) (at - shift * SUB) + 0.5) * Math.pow(2, shift);
          return Math.min(middleNs, maxNs) / 1e6;
        }
      }
      return 0;
    }
  }
}
