"""Why a loop is odd, where, compared with what: from arrays and callables, in a musician's words and units."""
