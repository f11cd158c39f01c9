// The ensemble's clock in sclang: asks one Downbeat node for the time, and stamps bundles with it.
//
// Put this file into Platform.userExtensionDir and recompile the class library. Then:
//
//     c = EnsembleClock(NetAddr("192.168.1.20", 9000));
//     c.sendBundle(NetAddr("192.168.1.20", 9000), 0.5, ["/kick", 0.8]);   // due in half a second
//
// sclang stamps with its host's clock, and reads a timetag argument by the same clock: so the node's time, as it arrives here,
// says at once how much later or earlier NetAddr.sendBundle must stamp. No value of the host's clock is ever looked at.
// All delays count from the logical time of the routine that sends, as they do in NetAddr.sendBundle, and do not jitter.
EnsembleClock {
	// Questions at the start and after a jump, and the time between them (s).
	classvar burst = 16, burstInterval = 0.03;
	// Exchanges before the clock is trusted; silence that makes it `lost` (s); a line so far outside of what is possible
	// was jumped over (s); questions that may be under way.
	classvar settled = 8, lostAfter = 5, jump = 0.01, underWay = 64;
	// What no packet is better than (s); how far oscillators differ (1); blocks and rounds of the fit.
	classvar sharpest = 5e-6, usualRate = 100e-6, blockCount = 16, rounds = 4;

	// The node that is asked, how often (s), and how long an answer counts (s).
	var <node, <interval, <window;
	// Times that the ensemble's clock was set, as far as it was seen here; questions without an answer.
	var <jumps = 0, <lost = 0;
	// The shortest way to the node and back (s).
	var <roundTrip;
	var responder, running = false, asked, number = 0, toBurst, exchanges, heard;
	// The line: at sclang's time `lineAt` the ensemble is `lineOffset` ahead, and gains `rate` per second.
	var lineAt, lineOffset, rate = 0, variance, rateVariance;

	*new { |node, interval = 1.0, window = 60.0|
		^super.newCopyArgs(node ?? { NetAddr("127.0.0.1", 9000) }, interval, window).start
	}

	start {
		if(running) { ^this };
		running = true;
		asked = Dictionary.new;
		exchanges = [];
		responder = OSCFunc({ |msg, time| this.prAnswered(msg, time) }, '/sync/time/reply', node);
		responder.permanent = true;
		CmdPeriod.add(this);
		this.prAskOn;
	}

	stop {
		running = false;
		responder.free;
		CmdPeriod.remove(this);
	}

	// Whether bundles can be stamped.
	isReady { ^exchanges.size >= settled }

	// In a Routine: waits until they can; an Error if the node does not answer in time (s).
	waitUntilReady { |timeout = 5|
		var end = Main.elapsedTime + timeout;
		while { this.isReady.not } {
			if(Main.elapsedTime > end) { Error("EnsembleClock: no answer from %:%".format(node.ip, node.port)).throw };
			0.02.wait;
		};
	}

	// Sends messages in one bundle, due `seconds` after this thread's logical time, by the ensemble's clock.
	sendBundle { |addr, seconds ... messages|
		addr.sendBundle(this.timetagIn(seconds), *messages);
	}

	// What to give NetAddr.sendBundle, so that the bundle is stamped `seconds` from now by the ensemble's clock.
	timetagIn { |seconds = 0|
		^seconds + this.offset
	}

	// How far the ensemble's clock is ahead of sclang's (s).
	offset {
		if(lineAt.isNil) { Error("EnsembleClock: %:% has not answered yet".format(node.ip, node.port)).throw };
		^lineOffset + (rate * (thisThread.seconds - lineAt))
	}

	// How much faster it goes (ppm).
	drift { ^rate * 1e6 }

	// Standard error of the offset (s), but for a lasting difference of the ways there and back, which nobody can see.
	error {
		^lineAt !? { (variance + (rateVariance * (Main.elapsedTime - lineAt).squared)).sqrt }
	}

	// The error's limit, that difference included (s).
	bound { ^lineAt !? { (roundTrip / 2) + (3 * this.error) } }

	// \waiting for a first answer, \settling, \steady, or \lost.
	state {
		if(heard.isNil) { ^\waiting };
		if(Main.elapsedTime - heard > lostAfter) { ^\lost };
		^if(this.isReady) { \steady } { \settling }
	}

	// Everything on the clocks was cleared.
	cmdPeriod { this.prAskOn }

	prAskOn {
		toBurst = burst;
		SystemClock.sched(0, {
			if(running) {
				this.prAsk;
				toBurst = toBurst - 1;
				// Never in step with anything that happens regularly on the way.
				if(toBurst > 0) { burstInterval } { interval * rrand(0.9, 1.1) }
			}
		});
	}

	prAsk {
		number = number + 1;
		if(asked.size >= underWay) {
			asked.removeAt(asked.keys.asArray.minItem);
			lost = lost + 1;
		};
		asked[number] = Main.elapsedTime;
		node.sendMsg("/sync/time", number);
	}

	prAnswered { |msg, returned|
		var ask = asked.removeAt(msg[1]), time = msg[2];
		if(ask.notNil and: { time.isNumber }) {
			heard = returned;
			this.prAdd([ask, time - ask, returned, time - returned]);
		};
	}

	// Takes an exchange: the node's time less ours, at asking and at the return.
	prAdd { |exchange|
		var outside, oldest = exchange[0] - window;
		exchanges = exchanges.reject { |old| old[0] < oldest }.add(exchange);
		outside = this.prFit(exchange);
		if(outside > (jump + (4 * this.error))) {
			jumps = jumps + 1;
			toBurst = burst;
			exchanges = [exchange];
			this.prFit(exchange);
		} {
			// The rate has changed, or the time was set by a little: what is old misleads.
			while { (outside > ((4 * this.error) + 20e-6)) and: { exchanges.size > settled } } {
				exchanges = exchanges.drop(exchanges.size div: 2);
				outside = this.prFit(exchange);
			};
		};
	}

	// A packet can be held up but never comes early: of each block of exchanges the packet nearest to either edge is taken,
	// two parallel lines are laid through them, and those that were held up count less. The clock runs midway.
	// Returns how far that lies outside of what the newest exchange leaves possible (s).
	prFit { |newest|
		var now = newest[2], size = exchanges.size, spread = sharpest;
		var count, blocks, sides, sums, edges, certain, misses, upper, lower, middle;
		count = (size div: 4).clip(1, blockCount);
		blocks = count.collect { |i| exchanges.copyRange((i * size) div: count, (((i + 1) * size) div: count) - 1) };
		rounds.do {
			sides = [
				blocks.collect { |block| block.minItem { |e| e[1] - (rate * e[0]) }.at([0, 1]) },
				blocks.collect { |block| block.maxItem { |e| e[3] - (rate * e[2]) }.at([2, 3]) }
			];
			sums = sides.collect { |points, side|
				var weights, total, xMean, yMean, across, along;
				weights = points.collect { |point|
					// How much too late it is; one that is too early shows the edge itself.
					var late = if(edges.isNil) { 0 } { this.prMiss(point, edges[side]) * [1, -1][side] };
					(spread.squared + late.max(0).squared).reciprocal
				};
				total = weights.sum;
				xMean = points.collect { |point, i| weights[i] * point[0] }.sum / total;
				yMean = points.collect { |point, i| weights[i] * point[1] }.sum / total;
				across = points.collect { |point, i| weights[i] * (point[0] - xMean).squared }.sum;
				along = points.collect { |point, i| weights[i] * (point[0] - xMean) * (point[1] - yMean) }.sum;
				[total, xMean, yMean, across, along]
			};
			certain = sums[0][3] + sums[1][3] + usualRate.squared.reciprocal;
			rate = (sums[0][4] + sums[1][4]) / certain;
			edges = sums.collect { |sum| [sum[1], sum[2]] };
			misses = sides.collect { |points, side| points.collect { |point| this.prMiss(point, edges[side]).abs } };
			misses = misses.flatten.sort;
			spread = misses[misses.size div: 2].max(sharpest);
		};
		upper = edges[0][1] + (rate * (now - edges[0][0]));
		lower = edges[1][1] + (rate * (now - edges[1][0]));
		middle = (edges[0][0] + edges[1][0]) / 2;
		lineAt = now;
		lineOffset = (upper + lower) / 2;
		roundTrip = (upper - lower).max(0);
		rateVariance = certain.reciprocal;
		variance = (sums[0][0].reciprocal + sums[1][0].reciprocal / 4) + ((now - middle).squared * rateVariance);
		// A few exchanges agree by chance.
		variance = variance + (roundTrip / 2 * (0.5 ** (size - 1))).squared;
		^(newest[3] - lineOffset).max(lineOffset - (rate * (now - newest[0])) - newest[1]).max(0)
	}

	prMiss { |point, edge| ^point[1] - edge[1] - (rate * (point[0] - edge[0])) }
}
