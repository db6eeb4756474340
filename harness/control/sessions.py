"""Several sessions at a cell's database at once, by clients that stay, inside its machine.

All steps go there in one command, and what came of them comes back as its output: so nothing stays open between this
process and the machine, and whatever leads to a machine (an engine, SSH, a broker) leads to its sessions too.
"""

from __future__ import annotations

import base64
import math
from importlib import resources

from harness.errors import InfrastructureError
from harness.model.sessions import SessionPlan, StepAnswer
from harness.system import shell

#: Of a session that ended without a word.
_ENDED = "the session ended / 会话已断开"


def conducted(plan: SessionPlan, client: str, command_prefix: str) -> str:
    """The script that runs a plan: ``client`` is the command of a client that reads SQL from its standard input, goes
    on after an error, and runs the rest of a line that begins with ``command_prefix`` in a shell."""
    conductor = resources.files(__package__).joinpath("conductor.sh").read_text(encoding="utf-8")
    given = [f"{'give' if step.at_once else 'step'} {step.session} {shell.quote(step.sql)}" for step in plan.steps]
    return "\n".join(
        [
            f"client() {{ exec sh -c {shell.quote(client)}; }}",
            f"shell={shell.quote(command_prefix)} look={math.ceil(plan.look)} bound={math.ceil(plan.bound)} "
            f"patience={math.ceil(plan.patience)} whole={math.ceil(plan.seconds)}",
            conductor,
            *given,
            "finish",
            "",
        ]
    )


def answers_of(plan: SessionPlan, output: str) -> list[StepAnswer]:
    """What the script printed, step by step.

    Raises:
        InfrastructureError: it did not come to its end.
    """
    lines = [line.split(" ") for line in output.splitlines()]
    given = {int(line[1]) for line in lines if line[0] == "given"}
    waited = {int(line[1]) for line in lines if line[0] == "waited"}
    ends = {int(line[1]): (int(line[2]), int(line[3])) for line in lines if line[0] == "end" and len(line) == 4}
    ended = {line[1] for line in lines if line[0] == "ended"}
    out, err = ({line[1]: base64.b64decode(line[2]) for line in lines if line[0] == word} for word in ("out", "err"))
    if {step.session for number, step in enumerate(plan.steps, 1) if number in given} - out.keys():
        raise InfrastructureError(f"the sessions gave no answer that can be read: {output[-300:]!r}")
    begins: dict[str, tuple[int, int]] = {}
    answers = []
    for number, step in enumerate(plan.steps, 1):
        name = step.session
        begin = begins.get(name, (0, 0))
        if number in ends:
            answers.append(_answer(out[name][begin[0] : ends[number][0]], err[name][begin[1] : ends[number][1]]))
            begins[name] = ends[number]
        elif number in given and name in ended:
            words = _text(err[name][begin[1] :]).strip()
            answers.append(StepAnswer(refusal=words or _ENDED))
            begins[name] = (len(out[name]), len(err[name]))
        else:
            answers.append(StepAnswer(given=number in given, answered=False))
    return [answer.model_copy(update={"waited": n in waited}) for n, answer in enumerate(answers, 1)]


def _answer(out: bytes, err: bytes) -> StepAnswer:
    rows = tuple(tuple(line.split("\t")) for line in _text(out).splitlines())
    return StepAnswer(rows=rows, refusal=_text(err).strip())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
