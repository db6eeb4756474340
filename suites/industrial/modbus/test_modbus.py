"""Modbus TCP of the product: functions, exceptions, limits, points, order of bytes, units, broken frames, updates.

MODBUS Application Protocol Specification V1.1b3 and MODBUS Messaging on TCP/IP Implementation Guide V1.0b. Only points
that are declared writable are written, and what they held is put back.
"""

from __future__ import annotations

import contextlib
import csv
import io
import struct
import time

import pytest

from harness.clients.demanding import demand, figures
from harness.clients.modbus import MOST_BITS, MOST_REGISTERS, Refused, blocks_of, frame
from harness.clients.resource import NoAnswer
from harness.control.fault import ProductFault
from harness.model.points import BITS, ORDERS
from harness.reading.points import READS, tries

#: A function code that the specification gives to nobody (V1.1b3, 5: public codes not assigned).
UNKNOWN = 99
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
AREAS = {code: area for area, code in READS.items()}
#: Lost answers after which no more is asked.
MOST_LOST = 10


@pytest.fixture
def plcs(interfaces):
    """A client of each declared interface of Modbus."""
    return interfaces("modbus")


@pytest.fixture
def reached(plcs):
    """Those clients, where each interface answers at all; else what is tried says nothing of its own subject."""
    for plc in plcs:
        try:
            reach(plc)
        except ProductFault as fault:
            pytest.skip(f"dependency: MB-01: {fault}")
    return plcs


@pytest.fixture
def answering(reached):
    """Those clients, where answers have the identifiers of their requests: a client that heeds them has no other."""
    for plc in reached:
        if wrong := unlike_identifiers(plc, [3]):
            pytest.skip(f"dependency: MB-08: {wrong[0]}")
    return reached


def reach(plc):
    """Ask the first thing that the interface declares; any answer will do."""
    with plc.wire() as wire:
        answer = wire.ask(struct.pack(">BHH", *first_read(plc)))
    if answer is None:
        raise ProductFault(f"{plc.name}: it closes the connection at a request", f"{plc.name}：收到请求即断开连接")
    return answer


def first_read(plc):
    """Function, address and count of a read that the declaration allows."""
    if plc.points:
        point = plc.points[0]
        return READS[point.area], point.address, point.size
    return next((code for code in plc.functions if code in AREAS), 3), 0, 1


def writable(plcs, code=None):
    return [(plc, point) for plc in plcs for point in plc.points if point.writable and (not code or tries(code, point))]


def with_points(plcs):
    chosen = [plc for plc in plcs if plc.points]
    if not chosen:
        pytest.skip("not-applicable: no interface declares points / 未声明测点")
    return chosen


@contextlib.contextmanager
def put_back(plc, point):
    """What a point holds, for the time of a write; it holds that again afterwards, or the product is at fault."""
    before = plc.read_point(point)
    try:
        yield before
    finally:
        plc.write(plc.writer_of(point), point, before)
    after = plc.read_point(point)
    if after != before:
        raise ProductFault(
            f"{plc.name}: {point.name} held {before}; after this was written back it holds {after}",
            f"{plc.name}：{point.name} 原值 {before}，写回后为 {after}",
        )


def others(point, registers):
    """Values within the range of a point, other than what it holds: the ends of its range, or the other bit."""
    if point.area in BITS:
        return [[1 - registers[0]]]
    ends = [point.registers_of(value) for value in (point.low, point.high)]
    return [each for each in dict.fromkeys(map(tuple, ends)) if list(each) != list(registers)]


# ---------------------------------------------------------------------------------------------------------------------


def test_connection(plcs, note):
    for plc in plcs:
        answer = reach(plc)
        note(
            f"{plc.name}: answered, exception {answer.exception or 'none'} / 有应答，异常码 {answer.exception or '无'}"
        )


def test_functions(answering, note, measure):
    wrong, tried = [], 0
    for plc in answering:
        for code in plc.functions:
            tried += 1
            words = try_function(plc, code)
            if words:
                wrong.append(f"{plc.name}: function {code}: {words}")
            else:
                note(f"{plc.name}: function {code} works / 功能码 {code} 可用")
    measure("functions tried", tried, "1")
    demand(wrong, "functions that are declared and do not work / 声明的功能码不可用")


def try_function(plc, code):
    """What is wrong with a function, in words; empty where it works."""
    try:
        if code in AREAS:
            point = next((point for point in plc.points if point.area == AREAS[code]), None)
            try:
                plc.read(AREAS[code], point.address if point else 0, point.size if point else 1)
            except Refused as refused:
                if point is not None or refused.code == ILLEGAL_FUNCTION:
                    return str(refused)
            return ""
        point = next(point for point in plc.points if tries(code, point))
        with put_back(plc, point) as before:
            for values in others(point, before):
                plc.write(code, point, values)
                if (after := plc.read_point(point)) != list(values):
                    return f"{list(values)} was written to {point.name}, and {after} is read"
    except ProductFault as fault:
        return str(fault)
    return ""


def test_exceptions(answering, note):
    wrong = []
    for plc in answering:
        code, address, count = first_read(plc)
        most = MOST_BITS if AREAS.get(code) in BITS else MOST_REGISTERS
        requests = [
            ("a function that nobody has", struct.pack(">B", UNKNOWN), ILLEGAL_FUNCTION),
            ("a read beyond address 65535", struct.pack(">BHH", code, 0xFFFF, 2), ILLEGAL_ADDRESS),
            ("a read of nothing", struct.pack(">BHH", code, address, 0), ILLEGAL_VALUE),
            (f"a read of {most + 1}", struct.pack(">BHH", code, address, most + 1), ILLEGAL_VALUE),
        ]
        for words, pdu, expected in requests:
            with plc.wire() as wire:
                wrong += unlike_exception(plc, wire, words, pdu, expected)
                # What was refused must not take the connection with it (V1.0b, 4.4.1.2).
                if wire.ask(struct.pack(">BHH", code, address, count)) is None:
                    wrong.append(f"{plc.name}: {words}: the connection is closed after it")
        note(f"{plc.name}: {len(requests)} wrong requests were sent / 已发送 {len(requests)} 个错误请求")
    demand(wrong, "requests that are answered otherwise than by the exception that belongs to them / 异常码不符")


def unlike_exception(plc, wire, words, pdu, expected):
    """In words, how an answer differs from the exception that is expected."""
    answer = wire.ask(pdu)
    if answer is None:
        return [f"{plc.name}: {words}: the connection was closed, expected exception {expected:02d}"]
    if answer.pdu[:1] != bytes([pdu[0] | 0x80]) or answer.exception != expected:
        return [f"{plc.name}: {words}: {answer.pdu[:8].hex()}, expected {pdu[0] | 0x80:02x}{expected:02x}"]
    return []


def test_limits(answering, note, measure):
    """As much as one request may ask for, of what is declared."""
    wrong, largest = [], 0
    for plc in with_points(answering):
        for block in blocks_of(plc.points):
            try:
                plc.read(block.area, block.address, block.count)
                largest = max(largest, block.count)
            except ProductFault as fault:
                wrong.append(f"{block.count} of {block.area} from {block.address}: {fault}")
        for code in (15, 16):
            point = next((point for point in plc.points if code in plc.functions and tries(code, point)), None)
            if point is None:
                continue
            with plc.wire() as wire:  # it writes nothing
                words = f"function {code} with nothing to write"
                wrong += unlike_exception(
                    plc, wire, words, struct.pack(">BHHB", code, point.address, 0, 0), ILLEGAL_VALUE
                )
    measure("largest read", largest, "1")
    note(f"the largest read had {largest} registers or bits / 单次最多读取 {largest} 个")
    demand(wrong, "reads as large as the points lie, and writes of nothing / 连续测点的读取与空写")


def read_all(plc):
    """Point -> its registers, or in words why it could not be read."""
    values = {}
    for block in blocks_of(plc.points):
        try:
            registers = plc.read(block.area, block.address, block.count)
            for point in block.points:
                start = point.address - block.address
                values[point] = registers[start : start + point.size]
        except NoAnswer as silence:
            values |= dict.fromkeys(block.points, str(silence))
        except ProductFault:
            for point in block.points:  # which of them it is
                try:
                    values[point] = plc.read_point(point)
                except ProductFault as fault:
                    values[point] = str(fault)
    return values


def in_other_orders(point, registers):
    """Orders, other than its own, in which the value of a point would be right."""
    if point.size < 2 or not point.wrong(point.value_of(registers)):
        return []
    return [each for each in ORDERS if each != point.order and not point.wrong(point.value_of(registers, each))]


def test_points(answering, keep, measure, note):
    wrong, rows = [], []
    counts = dict.fromkeys(("right", "wrong", "not judged", "not read", "in another order"), 0)
    for plc in with_points(answering):
        for point, registers in read_all(plc).items():
            if isinstance(registers, str):
                state, shown = "not read", registers
                wrong.append(f"{point.name}: not read: {registers}")
            else:
                value = point.value_of(registers)
                shown, words = f"{value:g}", point.wrong(value)
                state = "right" if point.judged else "not judged"
                if words and in_other_orders(point, registers):
                    state = "in another order"  # MB-06 fails for it
                elif words:
                    state = "wrong"
                    wrong.append(f"{point.name}: {words}")
            counts[state] += 1
            rows.append([plc.name, point.name, point.area, point.address, point.kind, shown, state])
    text = io.StringIO()
    csv.writer(text).writerows([["interface", "name", "area", "address", "type", "value", "state"], *rows])
    keep("points.csv", text.getvalue(), "text/csv")
    for state, count in counts.items():
        measure(state, count, "1")
    note("points / 测点: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    demand(wrong, "points that are not read, or read what they cannot be / 测点读取失败或数值不符")
    if not counts["right"]:
        pytest.skip(
            "not-applicable: could not check: no point that was read has a range or an expected value that fits / "
            "无法判断：没有可判断的测点"
        )


def test_order(answering, measure, note):
    wrong, told, same = [], 0, 0
    for plc in with_points(answering):
        for point in plc.points:
            if point.size < 2 or not point.judged:
                continue
            try:
                registers = plc.read_point(point)
            except ProductFault as fault:
                pytest.skip(f"dependency: MB-05: {fault}")
            if orders := in_other_orders(point, registers):
                value = point.wrong(point.value_of(registers))
                wrong.append(
                    f"{point.name}: in {point.order} it reads {value}; in {' or '.join(orders)} it would be right"
                )
            fits = {each for each in ORDERS if not point.wrong(point.value_of(registers, each))}
            told, same = told + (fits == {point.order}), same + (fits > {point.order})
    demand(wrong, "values of several registers in another order than declared / 多寄存器值的字节或字序与声明不符")
    if not told:
        pytest.skip(
            "not-applicable: could not check: no value of several registers has a range or an expected value that "
            "tells the orders apart / 无法判断：没有能区分字节序的测点"
        )
    measure("order told apart", told, "1")
    note(
        f"{told} values are right in the declared order alone, {same} in another too / "
        f"仅在声明的顺序下正确的有 {told} 个，另有 {same} 个无法区分"
    )


def test_writing(answering, measure, note):
    points = writable(answering)
    if not points:
        pytest.skip("not-applicable: no point is declared writable / 没有声明可写的测点")
    wrong, written = [], 0
    for plc, point in points:
        try:
            with put_back(plc, point) as before:
                for values in others(point, before):
                    written += 1
                    plc.write(plc.writer_of(point), point, values)
                    after = plc.read_point(point)
                    if after != list(values):
                        meant, read = point.value_of(values), point.value_of(after)
                        wrong.append(f"{point.name}: {meant:g} was written, {read:g} is read ({values} and {after})")
        except ProductFault as fault:
            wrong.append(f"{point.name}: {fault}")
    measure("values written", written, "1")
    note(f"{written} values were written to {len(points)} points, and the old ones put back / 写入后已恢复原值")
    demand(wrong, "points that do not hold what is written to them / 写入的值与读回的值不符")


def test_identifiers(reached, note):
    """Identifiers come back as they were sent, also where several requests are under way (V1.0b, 3.1.3)."""
    sent = [7, 0xFFFE, 256]
    wrong = [line for plc in reached for line in unlike_identifiers(plc, sent)]
    demand(wrong, "identifiers that come back otherwise / 标识符与请求不符")
    note(f"{len(sent)} requests were under way at once at each interface / 每个接口同时有 {len(sent)} 个请求")


def unlike_identifiers(plc, sent):
    """Send requests one behind the other; in words, which identifiers did not come back."""
    pdu, unit, answers = struct.pack(">BHH", *first_read(plc)), plc.definition.unit, []
    with plc.wire() as wire:
        for transaction in sent:
            wire.send(frame(pdu, unit, transaction))
        for transaction in sent:
            answer = wire.receive(f"transaction {transaction} of {sent}, sent one behind the other")
            if answer is None:
                return [f"{plc.name}: it closed the connection after {len(answers)} of {len(sent)} requests"]
            answers.append(answer)
    wrong = []
    if sorted(got := [answer.transaction for answer in answers]) != sorted(sent):
        wrong.append(f"{plc.name}: transactions {sent} came back as {got}")
    if units := {answer.unit for answer in answers} - {unit}:
        wrong.append(f"{plc.name}: unit {unit} came back as {sorted(units)}")
    return wrong


def test_broken_frames(answering, application, note):
    wrong = []
    for plc in answering:
        pdu, unit = struct.pack(">BHH", *first_read(plc)), plc.definition.unit
        broken = {
            "half of a head": frame(pdu, unit, 1)[:4],
            "a head without its PDU": frame(pdu, unit, 2)[:7],
            "a length of 0": frame(pdu, unit, 3, length=0),
            "a length of 65535": frame(pdu, unit, 4, length=0xFFFF),
            "another protocol": frame(pdu, unit, 5, protocol=0x4D42),
            "a PDU that is too short": frame(pdu[:2], unit, 6),
            "a byte count that is too large": frame(struct.pack(">BHHB", 16, 0, 0, 250), unit, 7),
            "a request of HTTP": b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n",
            "2048 bytes of noise": bytes(range(255, -1, -1)) * 8,
        }
        for words, data in broken.items():
            try:
                with plc.wire() as wire:
                    wire.send(data)
                    with contextlib.suppress(ProductFault):  # it may answer, close, or wait: what counts comes after
                        wire.receive(words, seconds=0.1)
                reach(plc)
            except ProductFault as fault:
                wrong.append(f"{plc.name}: after {words}: {fault}")
                break
        note(f"{plc.name}: {len(broken)} broken frames / {len(broken)} 种损坏的帧")
    application.demand_no_end()
    if wrong:
        application.restart()  # what comes after has a subject of its own
    demand(wrong, "after a broken frame the product does not serve others / 收到损坏的帧后不再服务")


def test_connections(answering, note, measure):
    asked = [plc for plc in answering if plc.definition.connections > 1]
    if not asked:
        pytest.skip("not-applicable: no interface declares connections / 未声明 connections")
    wrong = []
    for plc in asked:
        count = plc.definition.connections
        plc.close()
        with contextlib.ExitStack() as stack:
            wires = []
            try:
                wires += [stack.enter_context(plc.wire()) for _ in range(count)]
                silent = sum(wire.ask(struct.pack(">BHH", *first_read(plc))) is None for wire in wires)
            except ProductFault as fault:
                wrong.append(f"{plc.name}: {len(wires)} of {count} clients were connected: {fault}")
                continue
        if silent:
            wrong.append(f"{plc.name}: {silent} of {count} clients were not served")
        measure(f"{plc.name}: clients", count - silent, "1")
    demand(wrong, "fewer clients are served at once than declared / 同时服务的客户端少于声明")
    note("all declared clients were served at once / 声明数量的客户端同时得到服务")


def test_lost_updates(answering, amount, measure, note):
    """Every point again and again, as fast as it goes: none may be lost."""
    requests, lost, times, points = amount("requests"), [], [], 0
    for plc in with_points(answering):
        blocks, number = blocks_of(plc.points), 0
        while number < requests and len(lost) < MOST_LOST:
            block = blocks[number % len(blocks)]
            number += 1
            begin = time.monotonic()
            try:
                plc.read(block.area, block.address, block.count)
            except ProductFault as fault:
                lost.append(f"request {number}: {fault}")
                continue
            times.append(time.monotonic() - begin)
            points += len(block.points)
        note(f"{plc.name}: {number} requests for {len(plc.points)} points / {number} 次请求，{len(plc.points)} 个测点")
    measure("updates of points", points, "1")
    measure("lost requests", len(lost), "1")
    figures(measure, times)
    demand(lost, f"updates were lost: {len(lost)} of {len(times) + len(lost)} requests / 丢失的更新")


def test_refresh(answering, amount, measure, note):
    """Every point once in each period, as a control system polls it; an update counts that comes within its period."""
    asked = [plc for plc in with_points(answering) if plc.definition.refresh is not None]
    if not asked:
        pytest.skip("not-applicable: no interface declares refresh / 未声明 refresh")
    wrong = []
    for plc in asked:
        period, blocks = plc.definition.refresh, blocks_of(plc.points)
        cycles = max(1, int(amount("seconds") / period))
        in_time, times, start, lost = 0, [], time.monotonic(), 0
        for cycle in range(cycles):
            due = start + cycle * period
            time.sleep(max(0.0, due - time.monotonic()))
            for block in blocks:
                try:
                    plc.read(block.area, block.address, block.count)
                except ProductFault:
                    lost += 1
                    continue
                passed = time.monotonic() - due
                times.append(passed)
                in_time += len(block.points) if passed <= period else 0
            if lost >= MOST_LOST:
                break
        share = in_time / (cycles * len(plc.points))
        measure(f"{plc.name}: in time", share * 100, "%")
        figures(measure, times)
        note(
            f"{plc.name}: {len(plc.points)} points each {period:g} s, {cycles} times: {share:.2%} in time / "
            f"每 {period:g} 秒更新 {len(plc.points)} 个测点，及时率 {share:.2%}"
        )
        if share < plc.definition.in_time:
            wrong.append(f"{plc.name}: {share:.2%} of updates in time, expected {plc.definition.in_time:.2%}")
    demand(wrong, "updates that are late or lost / 更新不及时或丢失")
