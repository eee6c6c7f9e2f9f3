"""A model of Intel's tiles (AMX), after Intel's manual (253665, volume 2: LDTILECFG, TILELOADD, TILESTORED, TDPBUSD and related).

The Python package of Bochs does not support tiles, so tile instructions arrive here as undefined ones. What the manual forbids is an
error. What the operating system forbids is an error too: the use of tiles without a request for permission.
"""

from __future__ import annotations

import struct

import numpy

ROWS, WIDTH = 16, 64
# The registers in the order of their numbers in instructions.
REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()


class Forbidden(Exception):
    """An operation that the processor or the operating system would refuse."""


class Tiles:
    def __init__(self, ram) -> None:
        self.ram = ram
        self.permitted = False
        self.shapes: list[tuple[int, int]] | None = None
        self.tiles = [numpy.zeros((ROWS, WIDTH), numpy.uint8) for _ in range(8)]
        self.carried_out = 0

    def carry_out(self, cpu, at: int) -> int:
        """Executes the instruction at this address and returns its length."""
        code = self.ram[at : at + 16]
        # VEX prefix of three bytes, map 0F 38, W0, 128 bits.
        if code[0] != 0xC4 or code[1] & 0x1F != 2 or code[2] & 0x84 or code[3] not in (0x49, 0x4B, 0x5E):
            raise Forbidden(f"neither Bochs nor this model knows the instruction {code[:8].hex()}")
        prefix, operation = code[2] & 3, code[3]
        inverted = code[1] >> 5 ^ 7
        self.extend = {"reg": inverted >> 2 & 1, "index": inverted >> 1 & 1, "base": inverted & 1}
        other = code[2] >> 3 & 15 ^ 15
        mod, reg, rm = code[4] >> 6, code[4] >> 3 & 7, code[4] & 7
        if not self.permitted:
            raise Forbidden("use of tiles without a request for permission (ARCH_REQ_XCOMP_PERM)")
        if operation != 0x5E and other:
            raise Forbidden("a second register where the instruction has none")
        self.carried_out += 1
        if operation == 0x49 and prefix == 0 and code[4] == 0xC0:
            self.shapes = None
            return 5
        if operation == 0x49 and prefix == 0 and mod != 3 and reg == 0:
            address, _, length = self.address(cpu, code)
            self.configure(self.ram[address : address + 64])
            return length
        if operation == 0x49 and prefix == 3 and mod == 3 and rm == 0:
            self.shape(reg)
            self.tiles[reg][:] = 0
            return 5
        if operation == 0x4B and prefix in (2, 3) and mod != 3 and rm == 4:
            address, stride, length = self.address(cpu, code)
            rows, width = self.shape(reg)
            for row in range(rows):
                place = (address + row * stride) % (1 << 64)
                if prefix == 3:
                    self.tiles[reg][row, :width] = numpy.frombuffer(self.ram[place : place + width], numpy.uint8)
                    self.tiles[reg][row, width:] = 0
                else:
                    self.ram[place : place + width] = self.tiles[reg][row, :width].tobytes()
            if prefix == 3:
                self.tiles[reg][rows:] = 0
            return length
        if operation == 0x5E and mod == 3:
            self.multiply(prefix, reg, rm, other)
            return 5
        raise Forbidden(f"this model does not know the tile instruction {code[:8].hex()}")

    def address(self, cpu, code: bytes) -> tuple[int, int, int]:
        """Returns the address, the stride from row to row, and the instruction's length."""
        mod, rm = code[4] >> 6, code[4] & 7
        length, stride = 5, 0
        base = rm
        if rm == 4:
            scale, index, base = code[5] >> 6, code[5] >> 3 & 7 | self.extend["index"] << 3, code[5] & 7
            length += 1
            if index != 4:
                stride = getattr(cpu, REGISTERS[index]) << scale
        if mod == 0 and base == 5:
            raise Forbidden("an address without a base, which this model does not support")
        address = getattr(cpu, REGISTERS[base | self.extend["base"] << 3])
        if mod == 1:
            address, length = address + struct.unpack_from("<b", code, length)[0], length + 1
        if mod == 2:
            address, length = address + struct.unpack_from("<i", code, length)[0], length + 4
        return address, stride, length

    def configure(self, said: bytes) -> None:
        if said[0] != 1 or said[1] != 0 or any(said[2:16]) or any(said[32:48]) or any(said[56:64]):
            raise Forbidden("a palette other than 1, a start row other than 0, or reserved bytes that are not zero")
        widths, rows = struct.unpack_from("<8H", said, 16), said[48:56]
        if any(width > WIDTH for width in widths) or any(row > ROWS for row in rows):
            raise Forbidden("a tile larger than the maximum")
        if any((width == 0) != (row == 0) for width, row in zip(widths, rows)):
            raise Forbidden("rows without a width, or a width without rows")
        self.shapes = list(zip(rows, widths))
        for tile in self.tiles:
            tile[:] = 0

    def shape(self, tile: int) -> tuple[int, int]:
        if self.extend["reg"] or self.shapes is None or 0 in self.shapes[tile]:
            raise Forbidden(f"tile {tile} without a shape")
        return self.shapes[tile]

    def multiply(self, prefix: int, into: int, left: int, right: int) -> None:
        if len({into, left, right}) < 3 or right > 7 or self.extend["base"]:
            raise Forbidden("a product of a tile with itself, or of a tile that does not exist")
        (rows, width), (left_rows, inner), (right_rows, right_width) = map(self.shape, (into, left, right))
        if left_rows != rows or right_width != width or right_rows * 4 != inner or width % 4:
            raise Forbidden("shapes that do not match")
        # unsigned × unsigned, × signed, signed × unsigned, × signed
        signs = {0: (numpy.uint8, numpy.uint8), 1: (numpy.uint8, numpy.int8), 2: (numpy.int8, numpy.uint8), 3: (numpy.int8, numpy.int8)}
        kind, other = signs[prefix]
        a = self.tiles[left][:rows, :inner].view(kind).astype(numpy.int32)
        b = self.tiles[right][:right_rows, :width].view(other).astype(numpy.int32)
        b = b.reshape(right_rows, width // 4, 4).transpose(0, 2, 1).reshape(inner, width // 4)
        self.tiles[into].view(numpy.int32)[:rows, : width // 4] += a @ b
        self.tiles[into][rows:] = 0
