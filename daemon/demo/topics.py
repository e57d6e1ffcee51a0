"""What the made-up news say: per topic its subjects and sentences (what belongs to none is in `between_topics.py`).

`{subject}` is the story's subject, `{PERSON}` a name of that type, `{PERSON2}` another one, `{PERSON~}` its short form; a DATE is
`{DATE}` (a day), `{YEAR}` (what follows "in") or `{PAST}`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic's material."""

    name: str
    subjects: tuple[str, ...]
    titles: tuple[str, ...]
    leads: tuple[str, ...]
    details: tuple[str, ...]


def listed(text: str) -> tuple[str, ...]:
    """Return the parts between semicolons, each on one line."""
    return tuple(" ".join(part.split()) for part in text.strip().split(";"))


def lines(text: str) -> tuple[str, ...]:
    """Return the lines, stripped."""
    return tuple(line.strip() for line in text.strip().splitlines())


POLITICS = Topic(
    "politics",
    listed(
        """a secret ballot on fishing quotas; the merger of two coalition parties; voting rights for sixteen-year-olds; a
        border treaty; the ban on second jobs for lawmakers; a corruption inquiry into road contracts; asylum
        rules; a referendum on island autonomy; the pension reform; sanctions against arms dealers; the
        dismissal of the police chief; a no-confidence motion; campaign donations from abroad; the redrawing of
        electoral districts; a boycott of the upper house; the new ambassador's past; farm subsidies; protests
        against toll roads; leaked cabinet minutes; the ceasefire talks; a plan to shorten the school year; the
        capital's rent freeze; language rights in courts; a strike by prison officers"""
    ),
    lines(
        """{GPE} votes on {subject}
        {POLITICAL_ROLE} under pressure over {subject}
        Opposition walks out over {subject}
        Coalition split: {subject} may divide {GPE}
        {PERSON} to lead talks on {subject}
        After months of debate, a deal on {subject}"""
    ),
    lines(
        """{POLITICAL_ROLE} {PERSON} told lawmakers on {DATE} that {subject} would be settled before the election.
        Members of parliament in {GPE} clashed for hours over {subject}.
        The government of {GPE} lost a key vote on {subject} by a handful of seats.
        Thousands gathered outside the assembly in {GPE} as delegates discussed {subject}.
        {PERSON}, the {POLITICAL_ROLE}, promised a commission on {subject} by {DATE}.
        Party leaders from {GPE} and {GPE2} met on {DATE} to settle {subject}."""
    ),
    lines(
        """The {POLICY_TERM} needs a two-thirds majority in both chambers.
        {PERSON~} denied having promised ministers a vote on the {POLICY_TERM}.
        A poll gives the ruling party {PERCENT} of the vote.
        Diplomats in {GPE2} were not informed, {NEWS_ORG} reported.
        The opposition has wanted the {POLITICAL_ROLE} to resign since {PAST}.
        Observers expect a reshuffle of the cabinet in {YEAR}."""
    ),
)
BUSINESS = Topic(
    "business",
    listed(
        """the sale of its packaging arm; a chain of discount bakeries; a dispute over container fees; the closure of four
        car plants; a bid for a rival brewer; the price of cocoa; a bond issue; cheaper mortgages; the
        bankruptcy of a furniture maker; a warehouse fire and its insurers; the return of cash dividends; steel
        tariffs; a shortage of lorry drivers; payment delays to suppliers; the listing of a toy maker; a hotel
        portfolio; airport slots; a wage deal for dockers; fraud at a leasing firm; shrinking packets in
        supermarkets; the end of free parcel returns; olive oil margins; a family feud over a shipyard; office
        vacancies"""
    ),
    lines(
        """{ORG} shares fall on {subject}
        {ORG} to spend {MONEY} on {subject}
        Investors punish {ORG} for {subject}
        Profit warning: {subject} to hit {ORG}
        {subject}: what shareholders should know
        {ORG} and {ORG2} in talks over {subject}"""
    ),
    lines(
        """{ORG} reported a loss of {MONEY} on {DATE}, blaming {subject}.
        Shares in {ORG} dropped {PERCENT} after news about {subject}.
        {PERSON}, chief executive of {ORG}, expects {subject} to weigh on {FINANCIAL_METRIC} until {DATE}.
        Creditors of {ORG} agreed on {DATE} to a plan that includes {subject}.
        Analysts at {ORG2} doubt that {subject} will pay off for {ORG}.
        Regulators in {GPE} will examine {subject} before the annual meeting of {ORG}."""
    ),
    lines(
        """{FINANCIAL_METRIC} rose to {PERCENT} in {YEAR}.
        The group cut its forecast for {FINANCIAL_METRIC} to {MONEY}.
        {ORG~} will cut {PERCENT} of its jobs in {GPE}.
        Traders had expected {FINANCIAL_METRIC} of {PERCENT}.
        {ORG2} holds a stake worth {MONEY}.
        {PERSON~} sold stock worth {MONEY} {PAST}, filings show."""
    ),
)
SPORT = Topic(
    "sport",
    listed(
        """a goalkeeper's broken thumb; the youngest squad in the league; a doping appeal; a missed penalty; a frozen
        pitch; the switch to artificial turf; a record transfer; relegation fears; the women's relay team; a
        disputed photo finish; a walkout by referees; an unbeaten run of nineteen matches; the veteran
        sprinter's comeback; a rain-soaked final; the curling rink's closure; a fight in the stands; the cycling
        tour's mountain stage; a wheelchair racer's title; the search for a new coach; a swimming world record;
        the boxing rematch; a judo scandal; ticket prices for away fans; the rowing eight"""
    ),
    lines(
        """Win in {GPE} overshadowed by {subject}
        {PERSON} shrugs off {subject}
        {GPE} stunned: {subject} decided {EVENT}
        Fans divided over {subject}
        {EVENT}: all eyes on {subject}
        Late drama and {subject} in {GPE}"""
    ),
    lines(
        """{PERSON} won the {EVENT} in {GPE} on {DATE} in spite of {subject}.
        The coach of {GPE}, {PERSON}, spoke of {subject} after a narrow defeat.
        {subject} became the talk of the {EVENT} as {PERSON} beat {PERSON2}.
        Supporters in {GPE} have talked of little else than {subject} since {PAST}.
        Two late goals and {subject} turned the match between {GPE} and {GPE2}.
        Team captain {PERSON} will miss the {EVENT} because of {subject}."""
    ),
    lines(
        """{PERSON~} finished {PERCENT} faster than last season.
        The club paid {MONEY} for {PERSON2}.
        {GPE2} meet the winners on {DATE}.
        The jury of the {EVENT} rejected a protest.
        A crowd of thousands sang until midnight.
        {NEWS_ORG} showed the race live."""
    ),
)
SCIENCE = Topic(
    "science",
    listed(
        """a beetle that survives boiling water; the genome of the cave bear; glacier melt; a hidden Roman harbour; whale
        songs; the age of a meteorite; bacteria that eat plastic; a new kind of ice; fossil footprints; crows
        that count; coral bleaching; a quantum clock; ancient pollen; deep-sea vents; the sleep of octopuses; a
        lost medieval map; volcanic glass; bees and magnetic fields; drought rings in old oaks; a
        superconducting crystal; the smell of comets' dust; mole-rat ageing; moss on buildings; salt lakes
        turning pink"""
    ),
    lines(
        """Researchers puzzled by {subject}
        What {subject} can tell us about the past
        {subject}: a study from {GPE} surprises experts
        Team at {ORG} explains {subject}
        Rare find near {LOC}: {subject}
        New data on {subject}"""
    ),
    lines(
        """Researchers at {ORG} have described {subject} in a study published on {DATE}.
        A team led by {PERSON} spent three years near {LOC} measuring {subject}.
        {PERSON} of {ORG} found the first evidence of {subject} by accident.
        Samples taken from {LOC} show that {subject} may be more common than thought.
        A new microscope in {GPE} has made {subject} visible.
        Scientists from {GPE} and {GPE2} disagree about {subject}."""
    ),
    lines(
        """The effect was seen in {PERCENT} of the samples.
        {PERSON~} wants to repeat the experiment on {DATE}.
        The project received {MONEY} from a foundation.
        Similar traces were found at {LOC}.
        Reviewers praised the method but asked for more data.
        The laboratory of {ORG2} could not confirm the result."""
    ),
)
HEALTH = Topic(
    "health",
    listed(
        """a measles outbreak; long waits for knee surgery; a cheaper asthma inhaler; the shortage of night nurses;
        contaminated eye drops; teenagers and vaping; a blood test for dementia; closing maternity wards; the
        flu season; antibiotic resistance; a recalled pacemaker; sleepless shift workers; tick bites; school
        lunches and allergies; a new hepatitis pill; dental care for prisoners; heat stroke among the old; the
        waiting list for kidneys; rural ambulances; malaria nets; burnout among doctors; a salmonella scare;
        hearing loss from headphones; home births"""
    ),
    lines(
        """Doctors alarmed by {subject}
        {GPE} clinics struggle with {subject}
        Hospital in {GPE} changes course on {subject}
        {subject}: what patients should know
        Trial raises hope against {subject}
        Health officials warn about {subject}"""
    ),
    lines(
        """Hospitals in {GPE} reported on {DATE} that cases linked to {subject} had doubled within a year.
        Patients in {GPE} have been waiting for answers about {subject} since {PAST}.
        {PERSON}, a doctor from {GPE}, calls {subject} the greatest worry on her ward.
        A trial of {PRODUCT} may change how doctors treat people affected by {subject}.
        The health authority of {GPE} will spend {MONEY} on measures concerning {subject}.
        Nurses and doctors met in {GPE} to discuss {subject}."""
    ),
    lines(
        """{PRODUCT} reduced symptoms in {PERCENT} of patients.
        Side effects were mild, the clinic of {ORG} said.
        The {POLICY_TERM} would oblige clinics to report every case.
        {PERSON~} treated the first patients {PAST}.
        Insurers in {GPE2} pay for {PRODUCT} from {DATE}.
        One in five beds is taken by such cases."""
    ),
)
TECHNOLOGY = Topic(
    "technology",
    listed(
        """a password leak; folding screens; chatbots in call centres; a chip that needs no fan; satellite phones; forged
        videos; a bug in parking meters; delivery robots; an open-source office suite; old phones without
        updates; smart glasses; a ransom attack on a library; self-driving buses; face recognition at stadium
        gates; a social network for the over-sixties; battery swaps; voice cloning; undersea cables; a court
        ruling on app stores; children's tablets; web addresses for sale; quantum-safe messaging; home routers;
        a search engine without adverts"""
    ),
    lines(
        """{ORG} bets on {subject}
        Users complain about {subject}
        {subject}: {ORG} promises a fix
        How {subject} became a headache for {ORG}
        {PRODUCT} review: {subject} and more
        Engineers at {ORG} rethink {subject}"""
    ),
    lines(
        """{ORG} unveiled {PRODUCT} in {GPE} on {DATE}, with an answer to {subject}.
        Engineers at {ORG} blame {subject} for the failure of {PRODUCT}.
        Millions of users of {PRODUCT} were affected by {subject} on {DATE}.
        {PERSON}, who wrote the software of {PRODUCT}, calls {subject} a solved problem.
        Start-ups from {GPE} raised {MONEY} for ideas around {subject}.
        Developers can test a new tool against {subject} from {DATE}."""
    ),
    lines(
        """{PRODUCT} costs {MONEY} less to run than its rival, the company says.
        An update will reach {PERCENT} of devices by {DATE}.
        {ORG2} offers a similar service in {GPE}.
        {PERSON~} published the code online.
        The data are stored on servers in {GPE2}.
        Testers of {NEWS_ORG} found {PRODUCT} slow."""
    ),
)
CULTURE = Topic(
    "culture",
    listed(
        """a stolen altar piece; a silent film found in an attic; the opera house's leaking roof; a graphic novel about
        bakers; street musicians' permits; a play without actors; a painter's unpaid bills; poems from a
        lighthouse; the return of looted bronzes; a museum of broken toys; a choir of dockers; a banned cartoon;
        the rediscovery of a harpsichord; a three-hour dance piece; the novelist's last interview; a sculpture
        made of ice; vinyl pressing plants; a puppet theatre's jubilee; village cinemas; a fresco under
        wallpaper; the ghost-writer's claim; a concert in a quarry; folk costumes; a photo archive"""
    ),
    lines(
        """{GPE} audiences charmed by {subject}
        {EVENT} opens with {subject}
        Critics split over {subject}
        {PERSON} on {subject}
        The long story behind {subject}
        From {GPE} with love: {subject}"""
    ),
    lines(
        """{subject} drew long queues at the {EVENT} in {GPE}.
        The director {PERSON} has spent ten years on {subject}.
        {PERSON} opened the {EVENT} on {DATE} with a work inspired by {subject}.
        A gallery in {GPE} tells the story of {subject} from {DATE}.
        Critics of {NEWS_ORG} call {subject} the surprise of the season.
        {PERSON} and {PERSON2} share the prize of the {EVENT} for {subject}."""
    ),
    lines(
        """The collection is insured for {MONEY}.
        {PERSON~} was born near {LOC}.
        Tickets for the {EVENT} sold out within {PERCENT} of the usual time.
        {NEWS_ORG} will broadcast the evening on {DATE}.
        The piece travels to {GPE2} on {DATE}.
        A restorer worked on it for months."""
    ),
)
WEATHER = Topic(
    "weather",
    listed(
        """flash floods; a late frost; Saharan dust; hail the size of eggs; a wildfire front; black ice; a storm surge; the
        longest heatwave on record; landslides; freezing fog; an avalanche; drifting pack ice; a tornado; the
        monsoon's delay; dry wells; a thunderstorm at dusk; swollen rivers; a blizzard; smog; cracked dams;
        mudflows on farmland; gale-force winds; a mild December; lightning strikes"""
    ),
    lines(
        """{GPE} braces for {subject}
        {subject} cut off villages near {LOC}
        Roads closed in {GPE} after {subject}
        {subject}: thousands without power
        Warning of {subject} until {DATE}
        Clean-up begins after {subject} in {GPE}"""
    ),
    lines(
        """{subject} closed schools and roads across {GPE} on {DATE}.
        Rescue teams near {LOC} worked through the night because of {subject}.
        Forecasters in {GPE} expect {subject} to last until {DATE}.
        Villages along {LOC} were evacuated as {subject} approached.
        {PERSON}, {POLITICAL_ROLE} of {GPE}, declared an emergency over {subject}.
        Trains between {GPE} and {GPE2} stood still because of {subject}."""
    ),
    lines(
        """Power failed for {PERCENT} of households.
        Damage may reach {MONEY}, insurers estimate.
        Volunteers filled sandbags along {LOC}.
        Farmers near {LOC} fear for their harvest.
        The last event of this kind was in {YEAR}.
        Temperatures fell within hours."""
    ),
)
SPACEFLIGHT = Topic(
    "spaceflight",
    listed(
        """a reusable booster; the docking of a cargo capsule; a crewed lunar landing; a stuck solar panel; astronaut
        training; a scrubbed countdown; the repair of an orbital telescope; a rover's lost wheel; a swarm of
        weather satellites; a fuel leak on the pad; a spacewalk; tourists in orbit; the return of asteroid dust;
        a heat shield test; the last flight of a shuttle; an orbital fuel depot; debris near the station; a
        sounding rocket; a lunar cave base; a failed upper stage; a polar launch site; a balloon-borne lander;
        engine trials; a crew's early return"""
    ),
    lines(
        """{ORG} delays launch after {subject}
        Countdown in {GPE}: {subject} kept crews busy
        {PRODUCT} carries hopes for {subject}
        Mission control cheers {subject}
        {subject} could mark new era for {GPE}
        {ORG} and {ORG2} race for {subject}"""
    ),
    lines(
        """{ORG} launched {PRODUCT} from {GPE} on {DATE} on a mission that includes {subject}.
        Mission controllers in {GPE} followed {subject} for six hours on {DATE}.
        Astronaut {PERSON} described {subject} from orbit.
        The rocket {PRODUCT} stood on its pad in {GPE} as engineers of {ORG} checked {subject}.
        {PERSON}, flight director at {ORG}, called {subject} a matter of patience.
        {ORG} wants to attempt {subject} with {PRODUCT} by {DATE}."""
    ),
    lines(
        """The flight of {PRODUCT} cost {MONEY}.
        {PERSON~} is due back on Earth in {YEAR}.
        The {POLICY_TERM} requires a licence for every orbit.
        {ORG~} reports a {FINANCIAL_METRIC} of {MONEY}.
        The capsule splashed down off {LOC}.
        Engines reached {PERCENT} of planned thrust."""
    ),
)

BEFORE_DRIFT = (POLITICS, BUSINESS, SPORT, SCIENCE, HEALTH, TECHNOLOGY, CULTURE, WEATHER)
NEW = SPACEFLIGHT
