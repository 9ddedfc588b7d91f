"""The results of the checks of a sequence: what was found, the limit it was held against, and where that comes from."""

from cidesign.checks import WORDS, Check, FileFault, Status

STATUSES: dict[str, Status] = {word: status for status, word in WORDS.items()}


def verdict(name: str, ok: bool, value: str, limit: str, source: str, fault: FileFault = "file") -> Check:
    """A check that was made; `fault` is what a failure would be of."""
    return _result(name, "passed" if ok else "failed", value, limit, source, None if ok else fault)


def remark(name: str, value: str, limit: str = "", source: str = "") -> Check:
    """Something to know, of which nothing here says that it is wrong."""
    return _result(name, "remark", value, limit, source)


def not_evaluated(name: str, why: str, source: str = "") -> Check:
    """A check that could not be made, and why; never taken for a pass."""
    return _result(name, "not checked", why, "", source)


def _result(name: str, status: Status, value: str, limit: str, source: str, fault: FileFault | None = None) -> Check:
    text = words(value, limit)
    return Check(name=name, status=status, text=text, value=value, limit=limit, source=source, fault=fault)


def words(value: str, limit: str) -> str:
    """A value with its limit, where there is one."""
    return f"{value} (limit {limit})" if limit else value


def in_one_line(check: Check) -> str:
    """A check in one line, with its limit and the source of that."""
    limit = f"; limit {check.limit}" if check.limit else ""
    source = f" ({check.source})" if check.source else ""
    return f"{WORDS[check.status]}: {check.name}: {check.value}{limit}{source}"


def entry(check: Check) -> dict[str, float | str | None]:
    """A check for records and --json."""
    return {
        "check": check.name,
        "status": WORDS[check.status],
        "value": check.value,
        "limit": check.limit,
        "source": check.source,
    }
