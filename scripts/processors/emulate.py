"""Runs a static program for Linux on an emulated Intel Sapphire Rapids: AVX-512 by Bochs, tiles by the model in tiles.py.

    emulate.py PROGRAM [ARGUMENT...]

It exists to test kernels that this machine's processor cannot run. It supports one thread, no signals, and only the system calls that
these tests make. Any other system call ends the program and is named. At the end it prints how many tile instructions were executed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
import os
import struct
import sys
import time
from pathlib import Path

PACKAGE = next(Path(importlib.util.find_spec("bochscpu").origin).parent.glob("_bochscpu*.so"))
os.environ["BOCHS_PACKAGE"] = str(PACKAGE)
sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_LAZY)
ctypes.CDLL(os.environ["BOCHS_BETWEEN"], os.RTLD_GLOBAL | os.RTLD_LAZY)

import bochscpu  # noqa: E402
import bochscpu.cpu  # noqa: E402
from bochscpu import memory  # noqa: E402
from tiles import Forbidden, Tiles  # noqa: E402

SIZE = 1 << 29
# Addresses of the program equal addresses of the emulated memory.
SYSTEM, SYSTEM_END = 0x1000, 0x10000
SYSCALL, UNDEFINED, DESCRIPTORS, INTERRUPTS, TASK, TABLES = 0x1000, 0x1010, 0x1080, 0x1100, 0x1200, 0x2000
SYSTEM_STACK = 0xF000
HEAP, MAPPED, STACK = 0x8000000, 0x10000000, SIZE - 0x10000
USER_CODE, USER_DATA, SYSTEM_CODE = 0x33, 0x2B, 0x10
REFUSED, UNKNOWN, AGAIN, NO_TERMINAL = -22, -38, -11, -25


class Machine:
    def __init__(self, program: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.ram = mmap.mmap(-1, SIZE)
        host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        for page in range(0, SIZE, 4096):
            memory.page_insert(page, host + page)
        self.tiles = Tiles(self.ram)
        self.heap_end, self.mapped_end = HEAP, MAPPED
        self.exit: int | None = None
        self.listed: set[int] = set()
        self.set_up()
        self.load(program, arguments, environment)

    def write(self, at: int, data: bytes) -> None:
        self.ram[at : at + len(data)] = data

    def words(self, at: int, *words: int) -> None:
        self.write(at, struct.pack(f"<{len(words)}Q", *words))

    def text(self, at: int) -> str:
        return os.fsdecode(self.ram[at : self.ram.find(b"\0", at)])

    def set_up(self) -> None:
        """Prepares the few structures that a processor needs from an operating system."""
        self.write(SYSCALL, bytes.fromhex("480f07"))  # sysretq
        self.write(UNDEFINED, bytes.fromhex("48cf"))  # iretq, back to the undefined instruction
        code, data = 0x00209A0000000000, 0x0000920000000000
        self.words(DESCRIPTORS, 0, 0, code, data, 0, data | 3 << 45, code | 3 << 45)
        self.words(INTERRUPTS + 6 * 16, UNDEFINED | SYSTEM_CODE << 16 | 0x8E00 << 32, 0)
        self.write(TASK + 4, struct.pack("<Q", SYSTEM_STACK))
        self.words(TABLES, TABLES + 0x1000 | 7)
        self.words(TABLES + 0x1000, TABLES + 0x2000 | 7)
        self.words(TABLES + 0x2000, TABLES + 0x3000 | 7, *(page << 21 | 0x87 for page in range(1, SIZE >> 21)))
        # Address zero is not mapped, and the program has no access to the system's pages.
        small = [page << 12 | (3 if page << 12 < SYSTEM_END else 7) for page in range(1, 512)]
        self.words(TABLES + 0x3000, 0, *small)

    def load(self, program: str, arguments: list[str], environment: dict[str, str]) -> None:
        image = Path(program).read_bytes()
        kind, machine = struct.unpack_from("<HH", image, 16)
        if image[:4] != b"\x7fELF" or (kind, machine) != (2, 62):
            sys.exit(f"{program} is not a static program for x86-64: build it with -C target-feature=+crt-static -C relocation-model=static")
        self.entry, headers = struct.unpack_from("<QQ", image, 24)
        size, count = struct.unpack_from("<HH", image, 54)
        loaded = 0
        for number in range(count):
            what, _, offset, at, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", image, headers + number * size)
            if what == 1:
                assert SYSTEM_END <= at and at + in_memory <= HEAP, "the program does not fit below its heap"
                self.write(at, image[offset : offset + in_file])
                if offset <= headers < offset + in_file:
                    loaded = at + headers - offset
        top = STACK

        def push(data: bytes) -> int:
            nonlocal top
            top -= len(data)
            self.write(top, data)
            return top

        given = [push(os.fsencode(argument) + b"\0") for argument in [program, *arguments]]
        known = [push(os.fsencode(f"{name}={value}") + b"\0") for name, value in environment.items()]
        chance = push(bytes(range(16)))
        # AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY, AT_SECURE, AT_RANDOM
        auxiliary = [3, loaded, 4, size, 5, count, 6, 4096, 9, self.entry, 23, 0, 25, chance, 0, 0]
        words = [len(given), *given, 0, *known, 0, *auxiliary]
        top = (top & ~15) - 8 * (len(words) % 2)
        self.stack = push(struct.pack(f"<{len(words)}Q", *words))

    def answer(self, cpu) -> int:
        """Executes a system call and returns its result."""
        a, b, c, d = cpu.rdi, cpu.rsi, cpu.rdx, cpu.r10
        match cpu.rax:
            case 0:  # read
                return self.take(b, os.read(a, c))
            case 17:  # pread64
                return self.take(b, os.pread(a, c, d))
            case 1:  # write
                return os.write(a, self.ram[b : b + c])
            case 20:  # writev
                parts = [struct.unpack_from("<QQ", self.ram, b + 16 * part) for part in range(c)]
                return os.write(a, b"".join(self.ram[at : at + size] for at, size in parts))
            case 257:  # openat
                return os.open(self.text(b), c, d, dir_fd=folder(a))
            case 3:  # close
                self.listed.discard(a)
                if a > 2:
                    os.close(a)
                return 0
            case 8:  # lseek
                self.listed.discard(a)
                return os.lseek(a, b - (b >> 63 << 64), c)
            case 5:  # fstat
                return self.describe(os.fstat(a), b)
            case 262:  # newfstatat
                name = self.text(b)
                return self.describe(os.stat(name, dir_fd=folder(a), follow_symlinks=not d & 0x100) if name else os.fstat(a), c)
            case 77:  # ftruncate
                os.ftruncate(a, b)
                return 0
            case 79:  # getcwd
                return self.take(a, os.fsencode(os.getcwd()) + b"\0")
            case 83:  # mkdir
                os.mkdir(self.text(a), b)
                return 0
            case 87:  # unlink
                os.unlink(self.text(a))
                return 0
            case 84:  # rmdir
                os.rmdir(self.text(a))
                return 0
            case 263:  # unlinkat
                (os.rmdir if c & 0x200 else os.unlink)(self.text(b), dir_fd=folder(a))
                return 0
            case 264:  # renameat
                os.rename(self.text(b), self.text(d), src_dir_fd=folder(a), dst_dir_fd=folder(c))
                return 0
            case 217:  # getdents64
                return self.take(b, self.entries(a, c))
            case 12:  # brk
                if HEAP <= a < MAPPED:
                    self.heap_end = a
                return self.heap_end
            case 9:  # mmap
                at = self.map(b)
                file = cpu.r8 & 0xFFFFFFFF
                self.write(at, bytes(b) if file == 0xFFFFFFFF else os.pread(file, b, cpu.r9))
                return at
            case 25:  # mremap
                at = self.map(c)
                self.write(at, self.ram[a : a + min(b, c)])
                return at
            case 158 if a == 0x1002:  # arch_prctl, ARCH_SET_FS
                segment = cpu.fs
                segment.base = b
                cpu.fs = segment
                return 0
            case 158 if (a, b) == (0x1023, 18):  # arch_prctl, ARCH_REQ_XCOMP_PERM of tiles
                self.tiles.permitted = True
                return 0
            case 158:
                return REFUSED
            case 228:  # clock_gettime
                now = time.clock_gettime_ns(a)
                self.words(b, now // 10**9, now % 10**9)
                return 0
            case 318:  # getrandom
                return self.take(a, os.urandom(b))
            case 204:  # sched_getaffinity
                return self.take(c, struct.pack("<Q", 1))
            case 218 | 186 | 39:  # set_tid_address, gettid, getpid
                return 1
            case 56:  # clone: threads are not supported; the test harness then runs its tests one after another
                return AGAIN
            case 16:  # ioctl
                return NO_TERMINAL
            case 89:  # readlink
                return REFUSED
            case 72 if b in (0, 1030):  # fcntl, F_DUPFD and F_DUPFD_CLOEXEC
                return os.dup(a)
            case 10 | 11 | 28 | 13 | 14 | 131 | 202 | 302 | 273 | 7 | 72:
                # mprotect, munmap, madvise, signals, futex, prlimit64, set_robust_list, poll, fcntl: not needed with one thread
                return 0
            case 231 | 60:  # exit_group, exit
                self.exit = a & 0xFF
                return 0
            case 234 | 200:  # tgkill, tkill: how a program aborts
                self.exit = 134
                return 0
            case 332 | 334 | 435:  # statx, rseq, clone3: the C library has a fallback
                return UNKNOWN
            case number:
                say(f"emulate.py does not support system call {number}")
                self.exit = 99
                return UNKNOWN

    def take(self, at: int, data: bytes) -> int:
        self.write(at, data)
        return len(data)

    def map(self, size: int) -> int:
        at, self.mapped_end = self.mapped_end, self.mapped_end + (size + 4095 & ~4095)
        if self.mapped_end > STACK - (8 << 20):
            raise MemoryError("the program needs more memory than emulate.py provides")
        return at

    def entries(self, file: int, room: int) -> bytes:
        """Returns all entries of a folder as `struct linux_dirent64` at the first call, and nothing at the next."""
        if file in self.listed:
            self.listed.remove(file)
            return b""
        self.listed.add(file)
        found = b""
        for name in os.listdir(file):
            size = 19 + len(os.fsencode(name)) + 8 & ~7
            found += struct.pack("<QQHB", 1, 0, size, 0) + os.fsencode(name).ljust(size - 19, b"\0")
        if len(found) > room:
            raise MemoryError("a folder with more entries than one call can return")
        return found

    def describe(self, file: os.stat_result, at: int) -> int:
        """Writes a `struct stat`."""
        times = (int(file.st_atime), 0, int(file.st_mtime), 0, int(file.st_ctime), 0)
        self.words(at, file.st_dev, file.st_ino, file.st_nlink, file.st_mode | file.st_uid << 32, file.st_gid, file.st_rdev, file.st_size, 4096, file.st_blocks, *times)
        return 0

    def run(self) -> int:
        session = bochscpu.Session()
        session.missing_page_handler = self.no_memory
        session.cpu.state = self.start()
        hook = bochscpu.Hook()
        hook.far_branch = self.far_branch
        hook.exception = self.exception
        session.run([hook])
        return 98 if self.exit is None else self.exit

    def no_memory(self, address: int) -> None:
        say(f"no memory at {address:#x}")
        os._exit(99)

    def start(self):
        state = bochscpu.State()
        bochscpu.cpu.set_long_mode(state)
        state.cr0, state.cr3 = 0x80050033, TABLES
        # PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE
        state.cr4 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 18
        # x87, SSE, AVX, AVX-512, tiles
        state.xcr0 = 0b111 | 0b111 << 5 | 0b11 << 17
        state.efer = 0xD01
        state.star, state.lstar, state.sfmask = (0x23 << 16 | SYSTEM_CODE) << 32, SYSCALL, 0x200
        state.rip, state.rsp, state.rflags = self.entry, self.stack, 2
        state.mxcsr, state.mxcsr_mask, state.fpcw = 0x1F80, 0xFFFF, 0x37F
        state.cs = segment(USER_CODE, 0xA0FB)
        for name in ("ss", "ds", "es", "fs", "gs"):
            setattr(state, name, segment(USER_DATA, 0xC0F3))
        state.tr, state.ldtr = segment(0x40, 0x8B, TASK, 0x67), segment(0, 0x82)
        state.gdtr, state.idtr = table(DESCRIPTORS, 0x7F), table(INTERRUPTS, 0xFF)
        return state

    def far_branch(self, session, cpu_id, what, segment, address, new_segment, new_address) -> None:
        """Handles a system call, or an instruction that the processor does not know."""
        cpu = session.cpu
        try:
            if new_address == SYSCALL:
                cpu.rax = self.answer(cpu) & (1 << 64) - 1
            elif address == UNDEFINED:
                cpu.rip = new_address + self.tiles.carry_out(cpu, new_address)
        except OSError as error:
            cpu.rax = -error.errno & (1 << 64) - 1
        except Forbidden as refusal:
            say(f"at {new_address:#x}: {refusal}")
            self.exit = 99
        except Exception as error:  # an exception must not leave a callback
            say(repr(error))
            self.exit = 99
        if self.exit is not None:
            session.stop()

    def exception(self, session, cpu_id, vector: int, error: int) -> None:
        if vector == 6:
            return
        say(f"exception {vector} before {session.cpu.rip:#x}")
        self.exit = 99
        session.stop()


def folder(number: int) -> int | None:
    """Returns the folder to which a path is relative: an open folder, or the working directory (AT_FDCWD)."""
    return None if number & 0x80000000 else number


def segment(selector: int, attributes: int, base: int = 0, limit: int = 0xFFFFFFFF):
    made = bochscpu.Segment()
    made.selector, made.attr, made.base, made.limit, made.present = selector, attributes, base, limit, True
    return made


def table(base: int, limit: int):
    made = bochscpu.GlobalSegment()
    made.base, made.limit = base, limit
    return made


def say(what: str) -> None:
    print(f"emulate.py: {what}", file=sys.stderr, flush=True)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    kept = ("CARGO_", "LIMBIC_", "PROPTEST_", "RUST_", "TMPDIR")
    environment = {name: value for name, value in os.environ.items() if name.startswith(kept)}
    machine = Machine(sys.argv[1], sys.argv[2:], environment)
    code = machine.run()
    say(f"{machine.tiles.carried_out} tile instructions")
    # Bochs fails when its objects are destroyed, so the process ends here.
    os._exit(code)


if __name__ == "__main__":
    main()
