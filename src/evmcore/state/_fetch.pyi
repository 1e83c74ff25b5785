from evmcore.state._upstream_fetch import UpstreamFetcher
from evmcore.state.feed_reader import FeedReader
from evmcore.state.layout import Keys
from evmcore.state.links import Links
from evmcore.state.upstream import Upstream

class RedisFetcher(UpstreamFetcher):
    """Fetches over connections of `links`, for the chain of `keys`; `timeout` in seconds, for one fetch."""

    rounds: int
    keys_asked: int
    corrections: int
    faults: int
    usually_brief_ns: int
    brief_ns: int

    def __init__(
        self,
        links: Links,
        keys: Keys,
        timeout: float,
        upstream: Upstream | None = None,
        watch: FeedReader | None = None,
    ) -> None: ...
