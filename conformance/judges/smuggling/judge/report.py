"""What a judge found, as a table."""

from dataclasses import dataclass, field


@dataclass
class Row:
    """One server's cases."""

    name: str
    cases: int = 0
    agreed: int = 0
    refused: int = 0
    """Of those that agreed."""
    deviated: int = 0
    """As `deviations.json` says."""
    again: int = 0
    """Safe requests that the gateway sent a second time, since the server had ended a connection that was kept."""
    breaches: dict[str, list[str]] = field(default_factory=dict)

    def add(self, case: str, said: list[str], *, refused: bool, deviates: bool) -> None:
        """Counts a case."""
        self.cases += 1
        if said:
            self.breaches[case] = said
        elif deviates:
            self.deviated += 1
        else:
            self.agreed += 1
            self.refused += refused


def table(title: str, rows: list[Row]) -> str:
    """For people."""
    width = max([len(title), *(len(row.name) for row in rows)])
    heads = ["cases", "agreed", "of them refused", "own deviations", "tried again", "BREACHES"]
    lines = [f"{title:{width}}  " + "  ".join(heads)]
    for row in rows:
        numbers = [row.cases, row.agreed, row.refused, row.deviated, row.again, len(row.breaches)]
        lines.append(f"{row.name:{width}}  " + "  ".join(f"{n:{len(head)}}" for n, head in zip(numbers, heads, strict=True)))
    for row in rows:
        for case, said in row.breaches.items():
            lines += [f"BREACH {row.name} {case}", *(f"    {line[:1000]}" for line in said)]
    return "\n".join(lines)
