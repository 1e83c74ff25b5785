from evmcore.state._cache_reader import Fetcher

class UpstreamFetcher(Fetcher):
    """Asks `upstream` (see `upstream.Upstream`) for values that are not in the state."""
