# stac-api-validator, with the numbers of its query options as numbers. As it stands it sends them as texts
# and compares what it gets with numbers, so only a door that takes the one for the other could pass.
import sys

import stac_api_validator.__main__ as validator


class WithNumbers(validator.QueryConfig):
    def __init__(self, *options):
        super().__init__(*options)
        for test in ("eq", "neq", "lt", "lte", "gt", "gte"):
            name = f"query_{test}_value"
            if getattr(self, name) is not None:
                setattr(self, name, int(getattr(self, name)))


validator.QueryConfig = WithNumbers
sys.exit(validator.main())
