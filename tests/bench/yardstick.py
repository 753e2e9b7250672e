#!/usr/bin/env python3
# ruff: noqa
# fmt: off
"""The yardstick: what a border controller costs, beside its peers, on one machine, in one run.

    yardstick.py signalling --sut 'COMMAND' [--rate 200] [--seconds 10] [--rounds 3]
    yardstick.py media      --sut 'COMMAND' [--calls 50] [--pps 20000] [--seconds 6]
    yardstick.py peer                            only the peer: Kamailio (topoh) with rtpengine

COMMAND is run in a network namespace of its own whose public side is 10.10.0.1 and whose private side is
10.20.0.1. It must take calls from 10.10.0.2 on 10.10.0.1:5060 (UDP), send them to the PBX at 10.20.0.2:5060, anchor the
media, and need no more than --settle seconds to be ready. Calls arrive from 10.10.0.2:5070.

signalling: SIPp places calls (INVITE 100 180 200 ACK, 200 ms, BYE 200) and the CPU time that all processes of the namespace
spent is divided by the calls. Rounds of the system under test and of the peer take turns, and the medians make the ratio.
media: the calls stay up, RTP is sent through them at the rate asked for (--pps 0: as fast as it goes), and the CPU time that the
namespace's processes and the kernel's eBPF programs spent is divided by the packets that arrived. 'routed' is the same traffic
forwarded by the kernel alone. The whole machine's busy time is printed too; it wants a quiet machine. Needs root, and Debian's sip-tester, kamailio, rtpengine-daemon, bpftool, gcc.
"""
import argparse, json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, time
HERE = os.path.dirname(os.path.abspath(__file__))
TMP = tempfile.mkdtemp(prefix="yardstick-")
NS = {"edge": "ys-edge", "pub": "ys-pub", "priv": "ys-priv"}


def sh(cmd, **kw):
    return subprocess.run(cmd, shell=True, check=kw.pop("check", True), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw).stdout


def inside(ns, cmd, **kw):
    return subprocess.Popen(f"exec ip netns exec {NS[ns]} {cmd}", shell=True, stdin=subprocess.DEVNULL,
                            stdout=kw.pop("stdout", subprocess.DEVNULL), stderr=subprocess.STDOUT, start_new_session=True, cwd=TMP, **kw)


def lab_up():
    lab_down()
    for n in NS.values():
        sh(f"ip netns add {n}; ip -n {n} link set lo up")
    for side, net, dev in (("pub", "10.10.0", "p0"), ("priv", "10.20.0", "q0")):
        sh(f"ip -n {NS['edge']} link add {dev} type veth peer name e0 netns {NS[side]}; ip -n {NS['edge']} addr add {net}.1/24 dev {dev};"
           f"ip -n {NS['edge']} link set {dev} up; ip -n {NS[side]} addr add {net}.2/24 dev e0; ip -n {NS[side]} addr add {net}.3/24 dev e0; ip -n {NS[side]} link set e0 up; ip -n {NS[side]} route add default via {net}.1")


def lab_down():
    for n in NS.values():
        for pid in sh(f"ip netns pids {n} 2>/dev/null", check=False).split():
            if pid.isdigit():
                try: os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError: pass
        sh(f"ip netns del {n} 2>/dev/null", check=False)


def edge_pids():
    return [p for p in sh(f"ip netns pids {NS['edge']}", check=False).split() if p.isdigit()]


def edge_cpu():
    ticks = 0
    for pid in edge_pids():
        try: f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        except FileNotFoundError: continue
        ticks += int(f[11]) + int(f[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def edge_rss_kb():
    total = 0
    for pid in edge_pids():
        try: total += next(int(l.split()[1]) for l in open(f"/proc/{pid}/smaps_rollup") if l.startswith("Pss:"))
        except (FileNotFoundError, StopIteration): continue
    return total


def busy():
    v = list(map(int, open("/proc/stat").readline().split()[1:9]))
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def bpf_seconds():
    """time inside eBPF programs attached to traffic (kernel.bpf_stats_enabled), which no process is charged for"""
    if not shutil.which("bpftool"): return 0.0
    progs = json.loads(sh("bpftool -j prog show", check=False) or "[]")
    return sum(p.get("run_time_ns", 0) for p in progs if p.get("type") in ("sched_cls", "xdp", "sk_lookup", "sched_act")) / 1e9


class Edge:
    def __init__(self, commands, settle):
        self.commands, self.settle = commands, settle

    def __enter__(self):
        lab_up()
        self.log = open(f"{TMP}/edge.log", "ab")
        for c in self.commands:
            inside("edge", c, stdout=self.log); time.sleep(self.settle)
        if not edge_pids():
            sys.exit("the system under test did not stay up:\n" + open(f"{TMP}/edge.log").read()[-3000:])
        return self

    def __exit__(self, *_):
        for pid in edge_pids():
            try: os.kill(int(pid), signal.SIGTERM)
            except ProcessLookupError: pass
        time.sleep(1); lab_down()


PEER = [f"rtpengine --foreground --log-stderr --log-level=3 --table=-1 --interface=pub/10.10.0.1 --interface=priv/10.20.0.1 --listen-ng=127.0.0.1:2223 --port-min=20000 --port-max=60000 --num-threads=2",
        f"kamailio -f {HERE}/kamailio.cfg -DD -E -m 256 -M 32"]


def calls_round(rate, seconds):
    n = int(rate * seconds)
    uas = inside("priv", f"sipp -sf {HERE}/uas.xml -i 10.20.0.2 -p 5060 -mi 10.20.0.2 -nostdin"); time.sleep(0.7)
    c0, t0 = edge_cpu(), time.time()
    uac = inside("pub", f"sipp -sf {HERE}/uac.xml -s 1001 -i 10.10.0.2 -p 5070 -mi 10.10.0.2 10.10.0.1:5060 -r {rate} -m {n} -l 100000 -nostdin -timeout {int(seconds) + 25} -trace_screen -screen_file {TMP}/screen.log -screen_overwrite true", stdout=open(f"{TMP}/uac.log", "wb"))
    uac.wait(); t1 = time.time(); c1 = edge_cpu(); uas.kill()
    out = open(f"{TMP}/uac.log", errors="replace").read()
    get = lambda label: int((re.findall(label + r"\s+\|\s+\d+\s+\|\s+(\d+)", out) or ["0"])[-1])
    ok, failed = get("Successful call"), get("Failed call")
    return {"ms": (c1 - c0) * 1000 / n, "ok": ok, "failed": n - ok, "n": n, "took": t1 - t0}


def signalling(a):
    res = {"sut": [], "peer": []}
    for _ in range(a.rounds):
        for who, cmds in (("sut", [a.sut]), ("peer", PEER)):
            if who == "sut" and not a.sut or who == "peer" and a.no_peer: continue
            with Edge(cmds, a.settle):
                calls_round(20, 2)                       # warm-up
                r = calls_round(a.rate, a.seconds); r["pss_kb"] = edge_rss_kb(); res[who].append(r)
                print(f"{who:5} {a.rate} calls/s x {a.seconds} s: {r['ms']:.3f} ms CPU a call, {r['ok']}/{r['n']} ok, {r['pss_kb'] / 1024:.0f} MiB", flush=True)
    med = {w: statistics.median(x["ms"] for x in v) for w, v in res.items() if v}
    for w, v in res.items():
        if v: print(f"{w}: median {med[w]:.3f} ms CPU a call, {sum(x['failed'] for x in v)} of {sum(x['n'] for x in v)} calls failed")
    if len(med) == 2: print(f"ratio sut/peer (CPU a call): {med['sut'] / med['peer']:.2f}")


def build_c():
    for n in ("rtpblast", "rtpsink"):
        sh(f"gcc -O2 -o {TMP}/{n} {HERE}/{n}.c")


def media_round(calls, pps, seconds, routed=False):
    """calls stay up; RTP from 10.10.0.3 to the ports that the edge gave, counted at 10.20.0.3 (SIPp holds the same ports at .2)"""
    if routed:
        sh(f"ip netns exec {NS['edge']} sysctl -qw net.ipv4.ip_forward=1"); dst, ports = "10.20.0.3", [30000 + 4 * i for i in range(calls)]
    else:
        uas = inside("priv", f"sipp -sf {HERE}/uas_media.xml -i 10.20.0.2 -p 5060 -mi 10.20.0.2 -mp 30000 -nostdin"); time.sleep(0.5)
        uac = inside("pub", f"sipp -sf {HERE}/uac_media.xml -s 1001 -i 10.10.0.2 -p 5070 -mi 10.10.0.2 -mp 20000 10.10.0.1:5060 -r {min(50, calls)} -m {calls} -l {calls} -nostdin -timeout {int(seconds) + 60} -trace_logs -log_file {TMP}/ports.log", stdout=open(f"{TMP}/uac.log", "wb"))
        deadline = time.time() + 20
        rows = {}
        while time.time() < deadline and len(rows) < calls:
            time.sleep(0.2)
            if os.path.exists(f"{TMP}/ports.log"):
                rows = dict(l.split() for l in open(f"{TMP}/ports.log").read().splitlines() if len(l.split()) == 2)
        if len(rows) < calls: sys.exit(f"only {len(rows)} of {calls} calls were answered")
        ports = [int(rows[str(i + 1)]) for i in range(calls)]; dst = "10.10.0.1"
    sink = inside("priv", f"{TMP}/rtpsink 10.20.0.3 30000 {calls} {seconds + 2.5}", stdout=open(f"{TMP}/sink.log", "wb"))
    time.sleep(0.5)
    b0, e0, k0, t0 = busy(), edge_cpu(), bpf_seconds(), time.time()
    blast = inside("pub", f"{TMP}/rtpblast 10.10.0.3 {dst} {seconds} {pps} 20000 {' '.join(map(str, ports))}", stdout=open(f"{TMP}/blast.log", "wb"))
    blast.wait(); b1, e1, k1, t1 = busy(), edge_cpu(), bpf_seconds(), time.time(); sink.wait()
    if not routed: uac.kill(); uas.kill()
    sent, got = int(open(f"{TMP}/blast.log").read().split()[1]), int(open(f"{TMP}/sink.log").read().split()[1].rstrip(","))
    return {"busy_us": (b1 - b0) * 1e6 / sent, "edge_us": (e1 - e0 + k1 - k0) * 1e6 / max(got, 1), "sent": sent, "got": got, "pps": got / (t1 - t0)}


def media(a):
    build_c(); rows = {}
    sh('sysctl -qw kernel.bpf_stats_enabled=1', check=False)
    for _ in range(a.rounds):
        for who, cmds in (("routed", ["sleep 600"]), ("sut", [a.sut]), ("peer", PEER)):
            if who == "sut" and not a.sut or who == "peer" and a.no_peer: continue
            if os.path.exists(f"{TMP}/ports.log"): os.unlink(f"{TMP}/ports.log")
            with Edge(cmds, a.settle):
                r = media_round(a.calls, a.pps, a.seconds, routed=who == "routed"); rows.setdefault(who, []).append(r)
                print(f"{who:6} {r['got']}/{r['sent']} packets through, {r['pps']:.0f} a second; edge {r['edge_us']:.2f} us a packet; whole machine {r['busy_us']:.2f}", flush=True)
    med = {w: statistics.median(x["busy_us"] for x in v) for w, v in rows.items()}
    edge = {w: statistics.median(x["edge_us"] for x in v) for w, v in rows.items()}
    for w in ("sut", "peer"):
        if w in med: print(f"{w}: {edge[w]:.2f} us a packet (processes and eBPF programs); lost {sum(x['sent'] - x['got'] for x in rows[w])} of {sum(x['sent'] for x in rows[w])}")
    if "sut" in edge and "peer" in edge: print(f"ratio sut/peer (edge CPU a packet): {edge['sut'] / edge['peer']:.3f}")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("signalling", "media", "peer")); p.add_argument("--sut", default=""); p.add_argument("--rate", type=float, default=200)
    p.add_argument("--seconds", type=float, default=10); p.add_argument("--rounds", type=int, default=3); p.add_argument("--settle", type=float, default=2.5)
    p.add_argument("--calls", type=int, default=50); p.add_argument("--pps", type=float, default=20000); p.add_argument("--no-peer", action="store_true")
    a = p.parse_args()
    for tool in ("sipp", "ip") + (() if a.no_peer else ("kamailio", "rtpengine")):
        if not shutil.which(tool): sys.exit(f"{tool} is not installed")
    try: (media if a.what == "media" else signalling)(a)
    finally: lab_down()
