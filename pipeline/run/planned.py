"""Settings -> Plan, with what lies at the paths of sources, and with functions that are fit."""

from pipeline.functions.naming import refuse_while_importing
from pipeline.planning.plan import Plan, make_plan
from pipeline.planning.settings import Settings
from pipeline.sources import kinds


def plan_of(settings: Settings) -> Plan:
    """The plan of some settings.

    Raises
    ------
    UserError
        As `make_plan` and `kinds.resolve`, and for a function of the user's own that is not fit.
    """
    refuse_while_importing()
    plan = make_plan(settings, kinds.resolve)
    if plan.functions:
        # Here, because it loads numba, which a refusal need not wait for.
        from pipeline.run import own

        own.check(plan)
    return plan
