"""baresip as a phone without a screen, and what it heard.

It plays a tone and writes down what it decoded, so that a test measures the audio that arrived.
"""

from __future__ import annotations

import array
import contextlib
import itertools
import json
import math
import signal
import subprocess
import time
import wave
from pathlib import Path

from tests.support.lab import Namespace, end_process, wait_until

_MODULES = Path("/usr/lib/baresip/modules")
_RATE = 8000
TALK = 2.0
"""Seconds of conversation in `converse`."""
_control_ports = itertools.count(44000)
"""One for each phone: the last one's may be in TIME_WAIT yet."""
_CONFIG = """\
poll_method epoll
sip_listen {listen}:{port}
audio_path /usr/share/baresip
audio_player aubridge,null
audio_alert aubridge,alert
audio_source aufile,{tone}
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports {rtp}-{rtp_end}
net_interface {address}
prefer_ipv6 {v6}
module_path {modules}
module g711.so
{more}module aufile.so
module aubridge.so
module sndfile.so
snd_path {recordings}
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


_VIDEO = """\
module vp8.so
module fakevideo.so
video_source fakevideo,nil
video_display fakevideo,nil
video_size 160x120
video_fps 5
video_bitrate 100000
"""
_CODECS = {"opus": "module opus.so\n", "L16": "module l16.so\n"}


class Baresip:
    """One phone in a namespace, which plays `tone` (Hz) to whoever it talks to and answers by itself if told.

    Once it was on hold it goes on to speak and to hear, but writes nothing down any more (1.0.0 forgets its recorder):
    `tests.support.tap.Ear` tells then what arrives.
    With a `password` it registers in `domain`, through `proxy`; `numbers_flows`: with SIP Outbound (RFC 5626), and
    it asks for a GRUU; with a `second_proxy` it has two flows.
    """

    def __init__(
        self,
        namespace: Namespace,
        user: str,
        address: str,
        *,
        tone: int,
        answers: bool = False,
        port: int = 5060,
        transport: str = "udp",
        rtp: int = 20000,
        proxy: str = "",
        codecs: str = "PCMU/8000/1",
        video: bool = False,
        domain: str = "",
        password: str = "",
        numbers_flows: bool = False,
        second_proxy: str = "",
    ) -> None:
        self._namespace, self._control = namespace, next(_control_ports)
        self.ports = range(rtp, rtp + 101)
        self._directory = namespace.directory()
        self._recordings = self._directory / "recordings"
        self._recordings.mkdir()
        host = f"[{address}]" if ":" in address else address
        write_tone(self._directory / "tone.wav", tone)
        more = "".join(module for codec, module in _CODECS.items() if codec in codecs) + (_VIDEO if video else "")
        config = _CONFIG.format(
            listen=host, port=port, tone=self._directory / "tone.wav", rate=_RATE, rtp=rtp, rtp_end=rtp + 100,
            address=address, v6="yes" if ":" in address else "no", modules=_MODULES, recordings=self._recordings,
            control=self._control, more=more,
        )  # fmt: skip
        (self._directory / "config").write_text(config)
        mode = "auto" if answers else "manual"
        account = f"<sip:{user}@{domain or host};transport={transport}>;answermode={mode};audio_codecs={codecs}"
        account += f";auth_user={user};auth_pass={password};regint=3600" if password else ";regint=0"
        if numbers_flows:
            account += ";sipnat=outbound"
        if proxy:
            account += f';outbound="{proxy}"'
        if second_proxy:
            account += f';outbound2="{second_proxy}"'
        (self._directory / "accounts").write_text(account + "\n")
        (self._directory / "contacts").write_text("")
        with (self._directory / "log").open("wb") as log:
            command: list[str | Path] = ["baresip", "-f", self._directory]
            self._process = namespace.popen(command, cwd=self._directory, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: namespace.is_bound(port, "udp"), f"baresip on port {port}", 30)
            wait_until(lambda: namespace.is_bound(self._control, "tcp"), "baresip's control port", 30)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.log()[-3000:]}") from None

    def dial(self, uri: str) -> None:
        self.command("dial", uri)

    def command(self, name: str, parameters: str = "") -> None:
        """One command over ctrl_tcp (netstring and JSON): dial, hangup, hold, resume, ..."""
        message = json.dumps({"command": name, "params": parameters, "token": "t"}).encode()
        connection = self._namespace.connect("127.0.0.1", ("127.0.0.1", self._control))
        with connection:
            connection.sendall(b"%d:%s," % (len(message), message))
            connection.settimeout(2)
            with contextlib.suppress(TimeoutError):
                connection.recv(65536)

    def established(self) -> bool:
        return "Call established" in self.log()

    def registered(self) -> bool:
        return "200 OK" in self.log()  # of a REGISTER: it tells of no other answer so

    def calls(self) -> int:
        """How many calls were answered so far."""
        return self.log().count("Call established")

    def ended(self) -> int:
        """How many of those have ended so far."""
        return self.log().count("terminated (duration")

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def stop(self) -> None:
        end_process(self._process)

    def kill(self) -> None:
        """It is gone without a word."""
        end_process(self._process, signal.SIGKILL)

    def heard(self) -> tuple[array.array[int], int]:
        """The samples that it decoded, and their rate in Hz; complete after `stop`."""
        return _samples(self._recorded()[0])

    def heard_last(self, seconds: float) -> tuple[array.array[int], int]:
        """The same of its last call, and of that the last `seconds`."""
        samples, rate = _samples(max(self._recorded(), key=lambda path: path.stat().st_mtime_ns))
        return samples[-int(seconds * rate) :], rate

    def heard_in_calls(self, seconds: float) -> list[tuple[array.array[int], int]]:
        """The same of each of its calls, in their order."""
        found = [_samples(path) for path in sorted(self._recorded(), key=lambda path: path.stat().st_mtime_ns)]
        return [(samples[-int(seconds * rate) :], rate) for samples, rate in found]

    def _recorded(self) -> list[Path]:
        found = sorted(self._recordings.glob("*-dec.wav"))
        assert found, f"baresip decoded nothing:\n{self.log()[-3000:]}"
        return found


def converse(calling: Baresip, called: Baresip, uri: str) -> None:
    """One calls the other, they talk, it hangs up; the other one has heard that, too."""
    before, ended = (calling.calls(), called.calls()), called.ended()
    calling.dial(uri)
    answered = (before[0] + 1, before[1] + 1)
    wait_until(lambda: (calling.calls(), called.calls()) == answered, "the call is answered", 20)
    time.sleep(TALK)
    calling.command("hangup")
    wait_until(lambda: called.ended() == ended + 1, "the call ends for the other as well", 20)


def assert_heard(phone: Baresip, *tones: int) -> None:
    """End it: it has heard these tones, in one call after the other, for as long as `converse` takes."""
    phone.stop()
    for (samples, rate), tone in zip(phone.heard_in_calls(TALK), tones, strict=True):
        assert tone_share(samples, rate, tone) >= 0.95


def assert_heard_only(phone: Baresip, tone: int) -> None:
    """End it: from the first moment to the last it has heard nothing else in its call."""
    phone.stop()
    samples, rate = phone.heard()
    assert len(samples) / rate > TALK - 0.5
    assert tone_share(samples, rate, tone) >= 0.95


def _samples(path: Path) -> tuple[array.array[int], int]:
    with wave.open(str(path), "rb") as recording:
        assert recording.getsampwidth() == 2
        data = recording.readframes(recording.getnframes())
        samples = array.array("h", data[: len(data) // 2 * 2])
        return samples[:: recording.getnchannels()], recording.getframerate()


def write_tone(path: Path, frequency: int, seconds: int = 120) -> None:
    """A mono recording of a sine."""
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(_RATE)
        step = 2 * math.pi * frequency / _RATE
        samples = array.array("h", (int(12000 * math.sin(step * i)) for i in range(_RATE)))  # whole periods a second
        recording.writeframes(samples.tobytes() * seconds)


def tone_share(samples: array.array[int], rate: int, frequency: float) -> float:
    """Share of the power of `samples` that lies at `frequency`, 0 to 1 (Goertzel over blocks of a quarter second)."""
    block = rate // 4
    total = sum(value * value for value in samples[: len(samples) // block * block])
    factor = 2 * math.cos(2 * math.pi * frequency / rate)
    power = 0.0
    for start in range(0, len(samples) - block + 1, block):
        a = b = 0.0
        for value in samples[start : start + block]:
            a, b = value + factor * a - b, a
        power += 2 * (a * a + b * b - factor * a * b) / block
    return power / total if total else 0.0
