"""Tariffs: what a service asks for a million tokens."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

from crossfade._values import checked_folder, shown
from crossfade.encoder import Encoder, Spent
from crossfade.errors import InvalidInput

TABLE = Path(__file__).with_name("prices.toml")


@dataclasses.dataclass(frozen=True)
class Tariff:
    """A price.

    Args:
        per_million_tokens: The price of a million tokens.
        currency: In what; empty where whoever gave the price did not say.
        source: Where the price is from, and of when.
    """

    per_million_tokens: float
    currency: str
    source: str


def tariff_of(
    encoder: Encoder, spent: Spent | None = None, price: float | None = None, table: str | Path | None = None
) -> Tariff | None:
    """What an encoder's tokens cost: the price that is given, else the encoder's own, else the table's.

    Args:
        encoder: The new model's.
        spent: What it was paid for already.
        price: Of a million tokens.
        table: A TOML file like the one that comes with crossfade: date, currency, and for each model its name, host,
            per_million_tokens and source.

    Returns:
        None where nothing is known of a service, or of what a callable asks; a price of 0 for what runs here.

    Raises:
        InvalidInput: The price is below 0, or the table can't be read.
    """
    if price is not None:
        if isinstance(price, bool) or not isinstance(price, (int, float)) or not 0 <= price < float("inf"):
            raise InvalidInput(f"price must be what a million tokens cost, from 0 on, got {shown(price)}")
        return Tariff(float(price), "", "given")
    if encoder.engine["engine"] not in ("http", "callable"):
        return Tariff(0.0, "", "it runs on this machine")
    if spent and spent.money is not None and spent.tokens:
        return Tariff(1e6 * spent.money / spent.tokens, "", "the encoder's price_per_million_tokens")
    return _listed(encoder, TABLE if table is None else checked_folder(table, "a table of prices"))


def _listed(encoder: Encoder, table: Path) -> Tariff | None:
    """The table's; a model's name at another host than the table's may cost anything, or nothing."""
    try:
        content = tomllib.loads(table.read_text(encoding="utf-8"))
        date, currency = str(content["date"]), str(content["currency"])
        listed = {
            (model["name"], model["host"]): Tariff(
                float(model["per_million_tokens"]), currency, f"{model['source']}, {date}"
            )
            for model in content["model"]
        }
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the table of prices {table} can't be read ({error!r}); look at {TABLE}") from error
    return listed.get((encoder.space.model, urlsplit(str(encoder.engine.get("url"))).hostname))
