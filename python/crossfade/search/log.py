"""Log: what a collection notes about queries: which were asked, which fail, and how well documents answer them."""

from __future__ import annotations

from collections.abc import Mapping

from crossfade._values import check_text, shown
from crossfade.catalog import documents, judgements, searched, versions
from crossfade.catalog.judgements import Judgement
from crossfade.catalog.searched import Query
from crossfade.document import check_id
from crossfade.errors import InvalidInput
from crossfade.judged import LARGEST, Qrels, Queries, graded
from crossfade.store import Store, amounts

from .calibrating import Asked, calibrate, of_judgements, of_qrels
from .calibration import Calibration
from .searcher import Searcher


class Log:
    """The part of a collection's façade that is about the queries it was asked."""

    _store: Store
    _searcher: Searcher

    def report_failing(self, query: str) -> int:
        """Says that the answers to a query are bad: what it looks at is re-embedded early; gives how many documents.

        Raises:
            InvalidInput: The query is no text.
            EncoderMissing: The live version's encoder is not at hand.
        """
        _check_query(query, "report_failing")
        keys = self._searcher.considered(query)
        with self._store.writing() as connection:
            searched.add_failing(connection, dict(zip(keys.tolist(), amounts(keys).tolist(), strict=True)))
            if self._store.keep_texts:
                searched.report(connection, query)
        return len(keys)

    def queries(self, most: int = 1_000) -> list[Query]:
        """The most frequent queries that were logged, with how often, when last, and how often reported as failing."""
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most < 2**63:
            raise InvalidInput(f"most must be a positive whole number of queries, got {shown(most)}")
        if not self._store.read_only:
            self._store.write_log()
        with self._store.reading() as connection:
            return searched.queries(connection, most)

    def forget_queries(self) -> None:
        """Deletes the texts of all logged queries; what searches looked at stays counted, judgements stay."""
        self._store.write_log()
        with self._store.writing() as connection:
            searched.forget_queries(connection)

    def judge(self, query: str, identifier: str, grade: float | None, *, judge: str = "person") -> None:
        """Says how well a document answers a query, for `assess`; kept by id, whatever the text becomes.

        Args:
            query: Its text, as it is searched for.
            identifier: The id of a document that is there.
            grade: 0 for irrelevant, above it for relevant, the higher the better; None takes back what was said.
            judge: Who says so, where it is not a person.

        Raises:
            InvalidInput: There is no such document, or an argument can't be used.

        Example:
            docs.judge("forgotten password", "a1", 2)
        """
        _check_query(query, "judge")
        check_text(query, "a query")
        check_text(judge, "a judge's name")
        if grade is not None and (
            isinstance(grade, bool) or not isinstance(grade, (int, float)) or not -LARGEST <= grade <= LARGEST
        ):
            raise InvalidInput(f"a grade must be a finite number, 0 for irrelevant, got {shown(grade)}")
        with self._store.writing() as connection:
            if grade is None:
                judgements.remove(connection, query, check_id(identifier))
                return
            if not documents.keys_of(connection, [check_id(identifier)]):
                raise InvalidInput(
                    f"there is no document {identifier!r} to judge; the id must be one of the collection's"
                )
            judgements.add(connection, [(query, identifier, float(grade), judge)])

    def judgements(self) -> list[Judgement]:
        """What was said with `judge`, by query, then id; of documents that are deleted, too."""
        with self._store.reading() as connection:
            return judgements.all_judgements(connection)

    def calibrate(self, queries: Queries | None = None, qrels: Qrels | None = None, *, k: int = 10) -> Calibration:
        """Learns from judged queries with what probability a hit of some score is relevant: `hit.relevance`.

        They are searched for as users do, and leave no trace in the log. What is learned holds for the live version's
        scores (Platt 1999): at every share of a migration, for these stay on its scale, and in every process. A
        cutover makes another version the live one, which has none until it is calibrated itself; a rollback finds the
        old one again.

        Args:
            queries: `{query id: text}`, or a BEIR folder; None for what was said with `judge`.
            qrels: `{query id: {document id: grade}}`, or a BEIR folder, that of the queries unless you say. A grade
                above zero is relevant; a document that has none counts as irrelevant. Of what was said with `judge`
                only the documents that were judged count.
            k: How many of the first hits of each query are looked at, as many as users see.

        Returns:
            What was learned, with its error on queries it had not seen.

        Raises:
            NotReady: Under 30 of these hits are relevant, or under 30 are not; or the live version was replaced
                meanwhile.
            InvalidInput: The queries can't be used, or the lower the score the more hits are relevant.
            EncoderMissing: The live version's encoder is not at hand.
            ReadOnlyCollection: The collection was opened with read_only=True.

        Example:
            docs.calibrate("validation")
            answers = [hit for hit in docs.search("forgotten password") if hit.relevance > 0.5]
        """
        return calibrate(self._store, self._searcher, self._asked(queries, qrels), k)

    @property
    def calibration(self) -> Calibration | None:
        """What `calibrate` has learned of the live version's scores; None where it has not.

        Raises:
            DamagedFile: It can't be used, and searches do without; `calibrate` makes another.
        """
        with self._store.reading() as connection:
            live = versions.read(connection).live_version
        return Calibration.load(self._store.layout.version(live.id), live.space)

    def _asked(self, queries: Queries | None, qrels: Qrels | None) -> Asked:
        if queries is None:
            if qrels is not None:
                raise InvalidInput("qrels= goes with queries=; without them what was said with judge() counts")
            return of_judgements(self.judgements())
        if qrels is None:
            if isinstance(queries, Mapping):
                raise InvalidInput("qrels= is needed: {query id: {document id: grade}}, or a BEIR folder")
            qrels = queries
        return of_qrels(graded(queries, qrels))


def _check_query(query: object, taker: str) -> None:
    if not isinstance(query, str) or not query or query.isspace():
        raise InvalidInput(f"{taker} takes the text of a query, got {shown(query)}")
